//! One small record per architecture: what QEMU, make, cargo and the package manager have to be told. No logic beyond
//! finding a record and telling whether it is this host's own.

use failure::{Failure, Result};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How one architecture is built for and booted.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// The name in campaigns and cell ids.
    pub name: &'static str,
    /// What [`std::env::consts::ARCH`] says on a host of it.
    pub host: &'static str,
    /// `ARCH=` of the kernel's make.
    pub kernel_arch: &'static str,
    /// Before the names of the compiler and the binutils, on any other host.
    pub cross_prefix: &'static str,
    /// What Debian calls it in names of packages.
    pub debian: &'static str,
    /// The make target whose file boots.
    pub target: &'static str,
    /// That file, in the object directory.
    pub image: &'static str,
    pub qemu: &'static str,
    /// The packages that have it, in the order of [`crate::host::distribution::PackageFamily`].
    pub qemu_packages: [&'static str; 4],
    pub machine: &'static str,
    /// What QEMU emulates; a host of the same architecture lends its own under KVM.
    pub cpu: &'static str,
    /// After the number of CPUs in QEMU's `-smp`.
    pub topology: &'static str,
    /// Console device on the kernel command line.
    pub console: &'static str,
    /// More for the kernel command line.
    pub arguments: &'static [&'static str],
    /// Its emulated clock is the host's time-stamp counter, on a host that has one.
    pub reads_host_tsc: bool,
    /// QEMU's device that the result channel hangs on.
    pub results_device: &'static str,
    /// Target triple of the guest binaries.
    pub rust_target: &'static str,
    pub cpus: u32,
    pub memory_mib: u32,
}

/// Looked at where no campaign names an architecture.
pub const DEFAULT: &Arch = &ARCHES[0];

const ARCHES: [Arch; 4] = [
    Arch {
        name: "x86_64",
        host: "x86_64",
        kernel_arch: "x86_64",
        cross_prefix: "x86_64-linux-gnu-",
        debian: "amd64",
        // PVH (CONFIG_PVH) lets QEMU start the ELF file itself: no bzImage has to be compressed.
        target: "vmlinux",
        image: "vmlinux",
        qemu: "qemu-system-x86_64",
        qemu_packages: ["qemu-system-x86", "qemu-system-x86-core", "qemu-x86", "qemu-system-x86"],
        // No disk is attached: the firmware and the kernel need not look for one.
        machine: "q35,sata=off,smbus=off",
        // Not the fast string instructions: with them the kernel and the C library clear and copy memory byte by byte, and
        // an emulator takes as long for a byte as for a word.
        cpu: "max,erms=off,fsrm=off",
        topology: ",cores=1",
        console: "ttyS0",
        // The AML interpreter takes a third of an emulated boot, and finds nothing that a guest test needs. Without ACPI it
        // is the MP table that lists the CPUs, and of each package only the first one: so each is a package of its own. The
        // port of the ACPI timer, by which the timers of the CPUs are measured, is where SeaBIOS puts it.
        // Clocks of several packages count as apart unless the kernel is told otherwise (unsynchronized_tsc(),
        // arch/x86/kernel/tsc.c), and QEMU has one for all. That also keeps 7.2's watchdog of the TSC away, which asks another
        // CPU with interrupts off and looks at the clock for its timeout: while that is still the jiffies, which this very CPU
        // counts, the two may wait for each other for ever (watchdog_wait_seq(), kernel/time/clocksource.c). Seen once in
        // some 300 boots.
        // Each CPU but the first measures how long its delay loop takes, for 0.1 s and on a busy host again and again
        // (calibrate_delay_direct(), init/calibrate.c): here it is told, that of a TSC of 2.5 GHz at 250 ticks a second.
        // The kernel panics if no tick comes while it waits for ten of them by the TSC (timer_irq_works(),
        // arch/x86/kernel/apic/io_apic.c): an emulator that a busy host does not let run has none to give. Seen in 2 of 9
        // boots of judged kernels at a load of 17 on two cores. It is told not to look.
        arguments: &["acpi=off", "pmtmr=0x608", "tsc=reliable", "lpj=10000000", "no_timer_check"],
        reads_host_tsc: true,
        results_device: "virtio-serial-pci",
        rust_target: "x86_64-unknown-linux-gnu",
        cpus: 4,
        memory_mib: 512,
    },
    Arch {
        name: "ppc64le",
        host: "powerpc64",
        kernel_arch: "powerpc",
        cross_prefix: "powerpc64le-linux-gnu-",
        debian: "ppc64el",
        target: "vmlinux",
        image: "vmlinux",
        qemu: "qemu-system-ppc64",
        qemu_packages: ["qemu-system-ppc", "qemu-system-ppc-core", "qemu-ppc", "qemu-system-ppc"],
        // Capabilities that emulation does not have and that the machine insists on unless it is told.
        machine: "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
        cpu: "power9",
        topology: "",
        console: "hvc0",
        arguments: &[],
        reads_host_tsc: false,
        results_device: "virtio-serial-pci",
        rust_target: "powerpc64le-unknown-linux-gnu",
        cpus: 4,
        memory_mib: 1024,
    },
    Arch {
        name: "riscv64",
        host: "riscv64",
        kernel_arch: "riscv",
        cross_prefix: "riscv64-linux-gnu-",
        debian: "riscv64",
        target: "Image",
        image: "arch/riscv/boot/Image",
        qemu: "qemu-system-riscv64",
        qemu_packages: ["qemu-system-misc", "qemu-system-riscv-core", "qemu-extra", "qemu-system-riscv"],
        machine: "virt",
        cpu: "rv64",
        topology: "",
        console: "ttyS0",
        arguments: &[],
        reads_host_tsc: false,
        results_device: "virtio-serial-device",
        rust_target: "riscv64gc-unknown-linux-gnu",
        cpus: 4,
        memory_mib: 512,
    },
    Arch {
        name: "arm64",
        host: "aarch64",
        kernel_arch: "arm64",
        cross_prefix: "aarch64-linux-gnu-",
        debian: "arm64",
        target: "Image",
        image: "arch/arm64/boot/Image",
        qemu: "qemu-system-aarch64",
        qemu_packages: ["qemu-system-arm", "qemu-system-aarch64-core", "qemu-arm", "qemu-system-aarch64"],
        machine: "virt",
        // `max` authenticates pointers, which takes long to emulate and which nothing here asks for.
        cpu: "cortex-a57",
        topology: "",
        console: "ttyAMA0",
        arguments: &[],
        reads_host_tsc: false,
        results_device: "virtio-serial-device",
        rust_target: "aarch64-unknown-linux-gnu",
        cpus: 4,
        memory_mib: 512,
    },
];

impl Arch {
    /// This host can build for it without a cross compiler, and run it without emulation.
    pub fn is_native(&self) -> bool {
        std::env::consts::ARCH == self.host && cfg!(target_endian = "little")
    }

    /// Before the names of the compiler and the binutils on this host.
    pub fn prefix(&self) -> &'static str {
        if self.is_native() { "" } else { self.cross_prefix }
    }

    /// The name that the image is kept under.
    pub fn kept(&self) -> &'static str {
        self.image.rsplit('/').next().unwrap_or(self.image)
    }
}

/// As its name.
impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static Arch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<&'static Arch, D::Error> {
        find(&String::deserialize(deserializer)?).map_err(|failure| D::Error::custom(failure.what))
    }
}

/// The record of `name`.
///
/// # Errors
/// When there is none: with the names there are.
pub fn find(name: &str) -> Result<&'static Arch> {
    ARCHES.iter().find(|arch| arch.name == name).ok_or_else(|| {
        let known: Vec<&str> = ARCHES.iter().map(|arch| arch.name).collect();
        Failure::usage(format!("no architecture `{name}`"))
            .next(format!("architectures: {}", known.join(", ")))
    })
}
