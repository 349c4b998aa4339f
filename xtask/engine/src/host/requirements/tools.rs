//! What a run needs on this host, for the architectures it is asked for and for no others. A table; looks at nothing.

use crate::host::arch::Arch;
use crate::host::distribution::PackageFamily;
use crate::host::toolchain;

/// A tool without which a run cannot end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    pub name: String,
    /// The packages that hold it, separated by spaces, in the order of [`PackageFamily`]; empty where none is known. Those of Debian 12
    /// were tried, the others are what the distributions document.
    packages: [String; 4],
    /// What the run does with it.
    pub purpose: &'static str,
    pub kind: ToolKind,
}

impl Tool {
    /// Its packages in a family of distributions.
    pub fn packages(&self, family: PackageFamily) -> impl Iterator<Item = &str> {
        self.packages[family as usize].split_whitespace()
    }
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

/// Of packages that all families call the same.
const fn same(name: &str) -> [&str; 4] {
    [name; 4]
}

/// Of what is known for Debian alone.
fn debian(names: &str) -> [String; 4] {
    [names.to_owned(), String::new(), String::new(), String::new()]
}

fn tool(kind: ToolKind, name: &str, packages: [&str; 4], purpose: &'static str) -> Tool {
    Tool { name: name.to_owned(), packages: packages.map(str::to_owned), purpose, kind }
}

fn program(name: &str, packages: [&str; 4], purpose: &'static str) -> Tool {
    tool(ToolKind::Program, name, packages, purpose)
}

/// Taken from the commands that an x86_64 build of Linux 7.2 runs (its `.cmd` files and Kbuild's timeconst
/// rule), from an allnoconfig with debug options: no openssl, perl, python, cpio, kmod or pahole is among them.
pub fn needed(arches: &[&'static Arch]) -> Vec<Tool> {
    let gcc = ToolKind::Header { compiler: "gcc" };
    let libc = ["libc6-dev", "glibc-devel glibc-static", "glibc-devel glibc-devel-static", "glibc"];
    let libelf = ["libelf-dev", "elfutils-libelf-devel", "libelf-devel", "libelf"];
    let about_libc = "C library for kbuild's own programs and the static guest programs";
    let mut tools: Vec<Tool> =
        arches.iter().map(|arch| program(arch.qemu, arch.qemu_packages, "boots the kernels")).collect();
    tools.extend([
        program("make", same("make"), "builds the kernels"),
        program("gcc", same("gcc"), "builds the kernels"),
        tool(gcc, "stdio.h", libc, about_libc),
        program("ld", same("binutils"), "links the kernels; ar, nm and objcopy come with it"),
        program("flex", same("flex"), "builds kconfig"),
        program("bison", same("bison"), "builds kconfig"),
        program("bc", same("bc"), "computes the kernel's time constants"),
        tool(gcc, "gelf.h", libelf, "builds objtool"),
        program("tar", same("tar"), "unpacks the kernel source"),
        program("xz", ["xz-utils", "xz", "xz", "xz"], "unpacks the kernel source"),
        program(SANDBOX, same("bubblewrap"), "confines builds and guests"),
    ]);
    tools.extend(arches.iter().copied().filter(|arch| !arch.is_native()).flat_map(to_cross));
    tools
}

/// What only the harness's own tests use.
pub fn for_tests() -> Vec<Tool> {
    let mail = "takes the draft of a reply, and sends nothing";
    // Debian 13 only recommends the module that reads addresses.
    let send_email = ["git-email libmailtools-perl", "git-email", "git-email", "git"];
    vec![
        tool(ToolKind::GitCommand, "git-send-email", send_email, mail),
        program("chromium", same("chromium"), "shows the page of a run to its test"),
        program("curl", same("curl"), "fetches sources that tests serve to themselves"),
        program("gpgv", ["gpgv", "gnupg2", "gpg2", "gnupg"], "checks the signature of a list of sums"),
    ]
}

/// What it takes to build for an architecture that is not this host's.
fn to_cross(arch: &'static Arch) -> [Tool; 3] {
    let prefix = arch.prefix();
    let libc = format!("stdio.h for {}", arch.name);
    [
        Tool {
            name: format!("{prefix}gcc"),
            packages: debian(&format!("gcc-{}", prefix.trim_end_matches('-'))),
            purpose: "builds the kernels",
            kind: ToolKind::Program,
        },
        Tool {
            name: libc,
            packages: debian(&format!("libc6-dev-{}-cross", arch.debian)),
            purpose: "C library for the static guest programs",
            kind: ToolKind::CrossHeader(arch),
        },
        Tool {
            name: format!("rustc for {}", arch.name),
            packages: debian(&toolchain::PACKAGES.join(" ")),
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
            needed(&arches)
                .iter()
                .flat_map(|tool| tool.packages(PackageFamily::Debian).map(str::to_owned).collect::<Vec<_>>())
                .collect()
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

    #[test]
    fn every_tool_of_a_native_run_has_a_package_in_every_family() {
        for tool in needed(&[arch::DEFAULT]).iter().chain(&for_tests()) {
            for family in
                [PackageFamily::Debian, PackageFamily::Fedora, PackageFamily::Suse, PackageFamily::Arch]
            {
                assert!(tool.packages(family).next().is_some(), "{}: {family:?}", tool.name);
            }
        }
    }
}
