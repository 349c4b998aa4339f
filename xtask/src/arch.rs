//! One small record per architecture: what QEMU, make and cargo have to be told. No logic.

/// How one architecture is built for and booted.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// The name in campaigns and cell ids.
    pub name: &'static str,
    /// `ARCH=` of the kernel's make.
    pub kernel_arch: &'static str,
    /// The make target, and the file in the object directory that boots.
    pub image: &'static str,
    pub qemu: &'static str,
    pub machine: &'static str,
    /// Console device on the kernel command line.
    pub console: &'static str,
    /// Target triple of the guest binaries.
    pub rust_target: &'static str,
    pub cpus: u32,
    pub memory_mib: u32,
}

/// Looked at where no campaign names an architecture.
pub const DEFAULT: &Arch = &ARCHES[0];

const ARCHES: [Arch; 1] = [Arch {
    name: "x86_64",
    kernel_arch: "x86_64",
    // PVH (CONFIG_PVH) lets QEMU start the ELF file itself: no bzImage has to be compressed.
    image: "vmlinux",
    qemu: "qemu-system-x86_64",
    machine: "q35",
    console: "ttyS0",
    rust_target: "x86_64-unknown-linux-gnu",
    cpus: 4,
    memory_mib: 512,
}];

/// The record of `name`.
///
/// # Errors
/// When there is none: with the names there are.
pub fn find(name: &str) -> crate::failure::Result<&'static Arch> {
    ARCHES.iter().find(|arch| arch.name == name).ok_or_else(|| {
        let known: Vec<&str> = ARCHES.iter().map(|arch| arch.name).collect();
        crate::failure::Failure::usage(format!("no architecture `{name}`"))
            .next(format!("architectures: {}", known.join(", ")))
    })
}
