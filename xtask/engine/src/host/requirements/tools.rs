//! What a run needs on this host, for the architectures it is asked for and for no others. A table; looks at nothing.

use crate::host::arch::Arch;
use crate::host::toolchain;

/// A tool without which a run cannot end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    pub name: String,
    /// The Debian packages that hold it.
    pub packages: Vec<String>,
    /// What the run does with it.
    pub purpose: &'static str,
    pub kind: ToolKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    Program,
    /// A program that git finds by itself.
    GitCommand,
    /// A C header that this compiler must find.
    Header {
        compiler: &'static str,
    },
    /// A C header that the cross compiler of this architecture must find.
    CrossHeader(&'static Arch),
    /// A compiler for the guest programs of this architecture.
    Rust(&'static Arch),
}

/// Bubblewrap's program.
pub const SANDBOX: &str = "bwrap";

fn tool(kind: ToolKind, name: &str, package: &str, purpose: &'static str) -> Tool {
    Tool { name: name.to_owned(), packages: vec![package.to_owned()], purpose, kind }
}

fn program(name: &str, package: &str, purpose: &'static str) -> Tool {
    tool(ToolKind::Program, name, package, purpose)
}

/// Taken from the commands that an x86_64 build of Linux 7.2 runs (its `.cmd` files and Kbuild's timeconst
/// rule), from an allnoconfig with debug options: no openssl, perl, python, cpio, kmod or pahole is among them.
pub fn needed(arches: &[&'static Arch]) -> Vec<Tool> {
    let gcc = ToolKind::Header { compiler: "gcc" };
    let mut tools: Vec<Tool> =
        arches.iter().map(|arch| program(arch.qemu, arch.qemu_package, "boots the kernels")).collect();
    tools.extend([
        program("make", "make", "builds the kernels"),
        program("gcc", "gcc", "builds the kernels"),
        tool(
            gcc,
            "stdio.h",
            "libc6-dev",
            "C library for kbuild's own programs and the static guest programs",
        ),
        program("ld", "binutils", "links the kernels; ar, nm and objcopy come with it"),
        program("flex", "flex", "builds kconfig"),
        program("bison", "bison", "builds kconfig"),
        program("bc", "bc", "computes the kernel's time constants"),
        tool(gcc, "gelf.h", "libelf-dev", "builds objtool"),
        program("tar", "tar", "unpacks the kernel source"),
        program("xz", "xz-utils", "unpacks the kernel source"),
        program(SANDBOX, "bubblewrap", "confines builds and guests"),
    ]);
    tools.extend(arches.iter().copied().filter(|arch| !arch.is_native()).flat_map(to_cross));
    tools
}

/// What only the harness's own tests use.
pub fn for_tests() -> Vec<Tool> {
    vec![tool(
        ToolKind::GitCommand,
        "git-send-email",
        "git-email",
        "takes the draft of a reply, and sends nothing",
    )]
}

/// What it takes to build for an architecture that is not this host's.
fn to_cross(arch: &'static Arch) -> [Tool; 3] {
    let prefix = arch.prefix();
    let libc = format!("stdio.h for {}", arch.name);
    [
        program(
            &format!("{prefix}gcc"),
            &format!("gcc-{}", prefix.trim_end_matches('-')),
            "builds the kernels",
        ),
        tool(
            ToolKind::CrossHeader(arch),
            &libc,
            &format!("libc6-dev-{}-cross", arch.debian),
            "C library for the static guest programs",
        ),
        Tool {
            name: format!("rustc for {}", arch.name),
            packages: toolchain::PACKAGES.map(str::to_owned).into(),
            purpose: "builds the guest programs; or let rustup add the target",
            kind: ToolKind::Rust(arch),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::arch;

    #[test]
    fn nothing_is_needed_for_an_architecture_that_was_not_asked_for() {
        let packages = |names: &[&str]| -> Vec<String> {
            let arches: Vec<_> = names.iter().map(|name| arch::find(name).unwrap()).collect();
            needed(&arches).into_iter().flat_map(|tool| tool.packages).collect()
        };
        let has = |packages: &[String], part: &str| packages.iter().any(|name| name.contains(part));
        let own = packages(&["x86_64"]);
        assert!(has(&own, "qemu-system-x86") && !has(&own, "riscv64") && !has(&own, "qemu-system-ppc"));
        let both = packages(&["x86_64", "ppc64le"]);
        for package in
            ["qemu-system-x86", "qemu-system-ppc", "gcc-powerpc64le-linux-gnu", "libc6-dev-ppc64el-cross"]
        {
            assert!(has(&both, package), "{package}: {both:?}");
        }
        assert!(!has(&both, "riscv64") && !has(&both, "qemu-system-arm"));
    }
}
