//! Which cargo can compile the guest programs for an architecture, and how. Looks; changes nothing.
//!
//! In this order: the cargo that runs us, where its compiler has the standard library of the target, or the library's
//! source to compile it; else the distribution's own compiler, whose packages (Debian: rustc-web, cargo-web,
//! rust-web-src) bring that source.

use std::path::{Path, PathBuf};

use crate::host::arch::Arch;
use failure::{Failure, Result};

/// The packages of a compiler with the source of its library.
pub const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Where they are installed: not found by name, because another cargo may come first on PATH.
const SYSTEM: [&str; 2] = ["/usr/bin/cargo", "/usr/bin/rustc"];

/// A way to compile for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    pub cargo: PathBuf,
    /// None: the one that this cargo takes by itself.
    pub rustc: Option<PathBuf>,
    /// The standard library has to be compiled too.
    pub with_std: bool,
}

impl Toolchain {
    /// # Errors
    /// When no compiler here can do it: with the commands that change that.
    pub fn find(arch: &Arch) -> Result<Toolchain> {
        let candidates = candidates();
        if arch.is_native() {
            // What compiled this harness has all that it takes.
            let (cargo, _) = candidates.into_iter().next().unwrap_or_default();
            return Ok(Toolchain { cargo, rustc: None, with_std: false });
        }
        choose(arch, &candidates, sysroot).ok_or_else(|| {
            Failure::infra(format!("no Rust compiler here can make programs for {}", arch.name))
                .because(format!("none has the standard library of {}, or its source", arch.rust_target))
                .next(format!("rustup target add {}", arch.rust_target))
                .next(format!(
                    "or, on Debian: apt-get install --no-install-recommends {}",
                    PACKAGES.join(" ")
                ))
        })
    }
}

/// Ours first.
fn candidates() -> Vec<(PathBuf, PathBuf)> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    // rustup puts the two beside each other.
    let beside = cargo.with_file_name("rustc");
    let rustc = if beside.is_file() { beside } else { PathBuf::from("rustc") };
    let [system_cargo, system_rustc] = SYSTEM.map(PathBuf::from);
    vec![(cargo, rustc), (system_cargo, system_rustc)]
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    // As an OsStr: duct takes a bare Path for one relative to the current directory.
    let asked = duct::cmd!(rustc.as_os_str(), "--print", "sysroot").stderr_null().stdin_null().read();
    asked.ok().map(PathBuf::from)
}

fn choose(
    arch: &Arch,
    candidates: &[(PathBuf, PathBuf)],
    sysroot: impl Fn(&Path) -> Option<PathBuf>,
) -> Option<Toolchain> {
    candidates.iter().find_map(|(cargo, rustc)| {
        let rustlib = sysroot(rustc)?.join("lib/rustlib");
        let has_std = rustlib.join(arch.rust_target).join("lib").is_dir();
        // What `-Zbuild-std` looks for.
        let has_source = rustlib.join("src/rust/library/Cargo.lock").is_file();
        let toolchain = Toolchain { cargo: cargo.clone(), rustc: Some(rustc.clone()), with_std: !has_std };
        (has_std || has_source).then_some(toolchain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::arch;

    /// What is chosen where the two sysroots hold these files.
    fn chosen(ours: &[&str], systems: &[&str]) -> Option<(String, bool)> {
        let dir = tempfile::tempdir().unwrap();
        for (name, files) in [("ours", ours), ("system", systems)] {
            for file in files {
                let path = dir.path().join(name).join("lib/rustlib").join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
        }
        let candidates = ["ours", "system"].map(|name| (PathBuf::from("cargo"), PathBuf::from(name)));
        let found = choose(arch::find("ppc64le").unwrap(), &candidates, |rustc| Some(dir.path().join(rustc)));
        found.map(|found| (found.rustc.unwrap().display().to_string(), found.with_std))
    }

    #[test]
    fn our_own_compiler_comes_first_and_the_library_is_compiled_only_where_it_is_missing() {
        const STD: &str = "powerpc64le-unknown-linux-gnu/lib/libstd.rlib";
        const SOURCE: &str = "src/rust/library/Cargo.lock";
        let is = |name: &str, with_std| Some((name.to_owned(), with_std));
        assert_eq!(chosen(&[STD], &[STD, SOURCE]), is("ours", false));
        assert_eq!(chosen(&[SOURCE], &[STD]), is("ours", true));
        assert_eq!(chosen(&[], &[SOURCE]), is("system", true));
        assert_eq!(chosen(&["x86_64-unknown-linux-gnu/lib/libstd.rlib"], &[]), None);
    }
}
