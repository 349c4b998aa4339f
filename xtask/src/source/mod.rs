//! Where a kernel source comes from.
