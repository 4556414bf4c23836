//! The admin API: one file per resource.
