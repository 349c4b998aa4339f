//! Which files of a kernel tree a patch should not change unseen: those that a build executes on the host, and those that
//! a verdict rests on. Knows paths; reads no file.

/// Directories whose C files are, or are included by, programs that a build runs. Found as all that the Makefiles of 6.12,
/// 7.2 and 7.3 declare as `hostprogs`, and what the `.cmd` files of those programs name.
const HOST_DIRS: [&str; 21] = [
    "arch/arm64/kernel/pi",
    "arch/arm64/kvm/hyp/nvhe",
    "certs",
    "drivers/accessibility/speakup",
    "drivers/gpu/drm/radeon",
    "drivers/gpu/drm/xe",
    "drivers/tty/vt",
    "drivers/video/logo",
    "drivers/zorro",
    "fs/unicode",
    "include/linux/device-id",
    "include/uapi",
    "lib/crc",
    "lib/raid",
    "lib/raid6",
    "rust",
    "samples",
    "scripts",
    "security/selinux",
    "tools",
    "usr",
];

/// The same below each `arch/NAME/`.
const HOST_DIRS_OF_ARCH: [&str; 4] = ["boot", "include/uapi", "tools", "vdso"];

/// What scripts/mod/modpost.c and file2alias.c include.
const HOST_FILES: [&str; 3] =
    ["include/linux/license.h", "include/linux/mod_devicetable.h", "include/linux/module_symbol.h"];

/// A build of the tree may execute what is in this file, or what is made of it, on the host. Everything else is compiled
/// for the guest and executed there only. A file of an unknown kind may be executed.
pub fn runs_on_host(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if !path.chars().all(plain) {
        // kbuild writes the names of what it includes into makefiles (scripts/basic/fixdep.c).
        return true;
    }
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_text = [".rst", ".txt"].iter().any(|ending| name.ends_with(ending));
    let is_code = [".c", ".h", ".S"].iter().any(|ending| name.ends_with(ending));
    let in_dir = |of: &str| path.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
    let of_arch =
        path.strip_prefix("arch/").and_then(|path| path.split_once('/')).map_or("", |(_, rest)| rest);
    let in_arch = |of: &&str| of_arch.strip_prefix(*of).is_some_and(|rest| rest.starts_with('/'));
    // Such as lib/gen_crc32table.c and include/linux/crc32poly.h, which it includes.
    let generates = name.starts_with("gen") || name.starts_with("mk") || name.starts_with("crc");
    if is_text && !dir.is_empty() {
        return HOST_DIRS.iter().any(|of| in_dir(of));
    }
    !is_code
        || HOST_FILES.contains(&path)
        || HOST_DIRS.iter().any(|of| in_dir(of))
        || HOST_DIRS_OF_ARCH.iter().any(in_arch)
        || dir.split('/').any(|part| part.starts_with("vdso"))
        || (generates && (dir.starts_with("lib") || dir == "include/linux"))
}

/// What a guest or the harness takes on trust, by the beginning of its path. A kernel that lies about these can fake every
/// result from inside.
const RESTED_ON: [(&str, &str); 14] = [
    ("init/", "how the guest's init starts"),
    ("drivers/virtio/", "the channel that results come by"),
    ("drivers/char/virtio_console.c", "the channel that results come by"),
    ("drivers/tty/", "the console"),
    ("kernel/printk/", "what reaches the console"),
    ("kernel/trace/", "the tracer that counts"),
    ("kernel/panic.c", "warnings, taint and panic"),
    ("kernel/kallsyms", "which function is where"),
    ("lib/fault-inject", "the injection of failures"),
    ("mm/fail_page_alloc.c", "the injection of failures"),
    ("mm/failslab.c", "the injection of failures"),
    ("fs/proc/", "what /proc tells the guest tests"),
    ("kernel/locking/lockdep", "the checks of locks"),
    ("lib/debug", "the debug checks"),
];

/// Why a reviewer should look at a change of this file before believing a pass; None for most.
pub fn rested_on(path: &str) -> Option<&'static str> {
    if runs_on_host(path) {
        return Some("code that the build executes");
    }
    RESTED_ON.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_executes_is_told_from_what_it_compiles() {
        let host = [
            "Makefile",
            "mm/Makefile",
            "mm/Kbuild",
            "mm/Kconfig",
            "mm/Kconfig.debug",
            "scripts/mod/modpost.c",
            "scripts/x.txt",
            "tools/objtool/check.c",
            "usr/gen_init_cpio.c",
            "arch/x86/tools/relocs.c",
            "arch/x86/boot/compressed/head_64.S",
            "arch/x86/entry/vdso/vma.c",
            "arch/powerpc/kernel/vdso/note.S",
            "include/uapi/linux/elf.h",
            "arch/x86/include/uapi/asm/mman.h",
            "include/linux/crc32poly.h",
            "include/linux/mod_devicetable.h",
            "include/linux/device-id/pci.h",
            "lib/crc/gen_crc32table.c",
            "lib/gen_crc64table.c",
            "kernel/x.lds",
            "kernel/vmlinux.lds.S.py",
            "kernel/gen.sh",
            "mm/$(shell id).h",
            "mm/a b.c",
            "mm/a\n.h",
            "rust/kernel/lib.rs",
            "drivers/x.rs",
            "noextension",
        ];
        let guest = [
            "mm/mmu_gather.c",
            "include/asm-generic/tlb.h",
            "include/linux/mm.h",
            "kernel/pid.c",
            "arch/x86/mm/fault.c",
            "arch/x86/include/asm/tlb.h",
            "lib/xarray.c",
            "lib/generic-radix-tree.c.txt",
            "Documentation/mm/index.rst",
            "fs/ext4/inode.c",
            "mm/newdir/x.h",
        ];
        let wrong: Vec<_> = host.iter().filter(|path| !runs_on_host(path)).collect();
        assert!(wrong.is_empty(), "executed on the host: {wrong:?}");
        let wrong: Vec<_> = guest.iter().filter(|path| runs_on_host(path)).collect();
        assert!(wrong.is_empty(), "executed in the guest only: {wrong:?}");
    }

    #[test]
    fn a_file_that_a_verdict_rests_on_says_why() {
        assert_eq!(rested_on("drivers/virtio/virtio_ring.c"), Some("the channel that results come by"));
        assert_eq!(rested_on("mm/Makefile"), Some("code that the build executes"));
        assert_eq!(rested_on("mm/mmu_gather.c"), None);
    }
}
