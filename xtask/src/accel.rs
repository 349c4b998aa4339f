//! Which accelerator really boots a kernel here.
