//! Looking into a data folder beside a station, or without one: its tables, its rows.

pub use station_kernel::{control::TableView, work::Value};
pub use station_storage::inspect::{Answer, Shell, ShellSettings, tables};
