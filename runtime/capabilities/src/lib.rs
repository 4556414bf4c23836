//! What the host offers to modules: one folder per capability, one list.
