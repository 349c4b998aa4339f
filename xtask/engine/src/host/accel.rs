//! What runs a guest's code: the host's own processor, or QEMU's emulation of one. Which of them works here is found out
//! elsewhere (`boot::probe`).

use crate::host::arch::Arch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    /// As QEMU's `-accel` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }

    /// For QEMU's `-cpu`. It belongs to the accelerator: TCG refuses `host`.
    pub fn cpu_model(self, arch: &Arch) -> &'static str {
        match self {
            Accel::Kvm => "host",
            Accel::Tcg => arch.cpu,
        }
    }

    /// How many times longer than under KVM a guest may take.
    pub fn deadline_scale(self) -> u32 {
        match self {
            Accel::Kvm => 1,
            Accel::Tcg => 5,
        }
    }
}
