//! Dev only: fakes of the kernel's ports, seeded clock, guest paths.
