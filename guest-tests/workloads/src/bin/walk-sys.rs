//! Everything below /sys that is no other file system: read, and each attribute that can be written written back.

use workloads::exercise::{self, Exercise};
use workloads::walk::{self, FileWalk};

/// Other file systems, which have their own walk.
const SKIP: [&str; 7] = [
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/config",
    "/sys/fs/cgroup",
    "/sys/fs/selinux",
    "/sys/kernel/security",
    // Says that it is deprecated.
    "/power/level",
];

/// What any write sets in motion, or what takes a part of the machine away.
const KEEP: [&str; 26] = [
    "/sys/power/",
    "/online",
    "/offline",
    "/hotplug",
    "/bind",
    "/uevent",
    "/unbind",
    "/remove",
    "/rescan",
    "/reset",
    "/delete",
    "/scan",
    "/driver_override",
    "/power/control",
    "/autosuspend_delay_ms",
    "/power/state",
    "/kernel/reboot",
    "/kernel/livepatch",
    "kexec",
    "/firmware",
    "/sysrq",
    "/mce",
    "/microcode",
    "/port_name",
    "/console",
    "/virtio-ports",
];

const SAMPLE: [&str; 4] = ["/kernel/slab", "/kernel/iommu_groups", "/kernel/btf", "/virtual/net"];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    let how = FileWalk { skip: &SKIP, keep: &KEEP, sample: &SAMPLE, write: true, ..FileWalk::default() };
    for directory in [
        "kernel",
        "module",
        "fs",
        "block",
        "bus",
        "class",
        "devices",
        "dev",
        "firmware",
        "hypervisor",
        "power",
    ] {
        // Of the others, some come and go.
        let is_steady = !["block", "class", "dev", "devices"].contains(&directory);
        walk::walk(it, format!("/sys/{directory}"), FileWalk { is_steady, ..how });
    }
    // What a write of uevent does (lib/kobject_uevent.c, kobject_synth_uevent()).
    for (event, device) in [("change", "mem/null"), ("add", "mem/null"), ("nonsense", "mem/null")] {
        let path = format!("/sys/devices/virtual/{device}/uevent");
        it.step(format!("uevent {event}"), || walk::write(&path, event.as_bytes()));
    }
    it.step("uevent with a key", || {
        let key = b"change 0123abcd-0000-4000-8000-0123456789ab A=1 B=abc";
        walk::write("/sys/devices/virtual/mem/null/uevent", key)
    });
}
