//! Looking into a data folder beside a station, or without one: its tables, its rows, its disk.

pub use station_kernel::{
    control::{DataView, KeysView, TableView},
    work::Value,
};
pub use station_storage::{
    disk::{Disk, Finding, Times, measure},
    inspect::{Answer, Shell, ShellSettings, tables},
};
