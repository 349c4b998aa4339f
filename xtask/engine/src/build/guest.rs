//! The guest side of a boot, on the host: one static program from `guest-tests`, and the initramfs that carries it,
//! written in process.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cpio::newc::{Builder, trailer};
use protocol::Request;
use sha2::{Digest, Sha256};

use crate::build::userland::Userland;
use crate::host::arch::Arch;
use crate::host::process::{self, ChildEnd, WatchFlow};
use crate::host::toolchain::Toolchain;
use failure::{Context, Failure, Result};

/// The static program of one architecture: `init`, and all scenarios. Its bytes, so that nothing that happens to the file
/// afterwards reaches a guest.
#[derive(Debug, Clone)]
pub struct Binaries {
    init: Arc<[u8]>,
    /// What the user brings.
    pub files: Vec<GuestFile>,
    /// Programs of others, for workloads.
    pub userland: Option<Userland>,
}

/// A program of an initramfs.
#[derive(Debug, Clone)]
pub struct GuestFile {
    /// From the root on.
    pub path: String,
    pub bytes: Arc<[u8]>,
}

/// A clean build of the guest crates takes some 20 s; with the standard library, two minutes.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Compiles the guest binaries, in a target directory of their own so that their flags do not make cargo
/// compile the harness again.
///
/// # Errors
/// When no compiler here can make them, or cargo fails: with its log.
pub fn build(root: &Path, work: &Path, arch: &Arch) -> Result<Binaries> {
    let toolchain = Toolchain::find(arch)?;
    // What one compiler has made is of no use to another. And cargo takes what another checkout has made for its own where
    // that is newer than the sources here: it compares times, of paths below the workspace.
    let of = Sha256::digest(root.as_os_str().as_bytes());
    let of: String = of.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let compiler = if toolchain.with_std { "guest-with-std" } else { "guest" };
    let target_dir = work.join(format!("{compiler}-{of}"));
    let log = work.join(format!("guest-{}.log", arch.name));
    std::fs::create_dir_all(work).or_infra(|| format!("create {}", work.display()))?;
    let _ = std::fs::remove_file(&log);
    let command = cargo(&toolchain, arch).dir(root).env("CARGO_TARGET_DIR", &target_dir);
    match process::run("the build of the guest binaries", command, &log, DEADLINE, |_| WatchFlow::Continue)? {
        ChildEnd::Exited(0) => {}
        ChildEnd::Interrupted => return Err(Failure::interrupted()),
        end => {
            return Err(Failure::infra("the guest binaries do not build")
                .because(format!("{}: {end:?}", toolchain.cargo.display()))
                .log(&log));
        }
    }
    let program = target_dir.join(arch.rust_target).join("guest").join(inside(INIT));
    Ok(Binaries { init: read(&program)?.into(), files: Vec::new(), userland: None })
}

/// The whole command but for where it runs.
fn cargo(toolchain: &Toolchain, arch: &Arch) -> duct::Expression {
    let mut args: Vec<String> =
        ["build", "--locked", "--profile", "guest", "-p", "init"].map(str::to_owned).into();
    args.extend(["--target".to_owned(), arch.rust_target.to_owned()]);
    if toolchain.with_std {
        args.push("-Zbuild-std=std,panic_abort".to_owned());
    }
    let mut command = duct::cmd(toolchain.cargo.as_os_str(), args)
        // Static, because the initramfs has no dynamic linker; and always at the same place, so that nothing has to be
        // relocated whenever it is executed, and an emulator need not translate it again. This replaces flags of the
        // caller.
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    if let Some(rustc) = &toolchain.rustc {
        command = command.env("RUSTC", rustc.as_os_str()).env_remove("RUSTUP_TOOLCHAIN");
    }
    if toolchain.with_std {
        // `-Z` is for nightly compilers, or for those that are told to take it.
        command = command.env("RUSTC_BOOTSTRAP", "1");
    }
    if !arch.is_native() {
        let linker = format!("CARGO_TARGET_{}_LINKER", arch.rust_target.to_uppercase().replace('-', "_"));
        command = command.env(linker, format!("{}gcc", arch.prefix()));
    }
    command
}

/// Where the kernel looks for the first program.
const INIT: &str = "/init";

pub(super) const DIRECTORY: u32 = 0o040_755;
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const PLAIN: u32 = 0o100_644;
pub(super) const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Binaries {
    /// The initramfs of one boot, as bytes: `/init`, the names by which it is the scenarios in `request`, the request,
    /// the functions of the kernel, and the mount points. The userland's archive stands before it: the kernel unpacks one
    /// after the other (init/initramfs.c).
    ///
    /// # Errors
    /// When the functions or the userland cannot be read.
    pub fn initramfs(&self, request: &Request, kallsyms: &Path) -> Result<Vec<u8>> {
        let before = self.userland.as_ref().map(|userland| read(&userland.path)).transpose()?;
        let mut archive = CpioArchive::after(before.unwrap_or_default());
        let scenarios = inside(protocol::SCENARIO_DIR);
        for dir in ["dev", "proc", "sys", "tmp", scenarios] {
            archive.add(Builder::new(dir).mode(DIRECTORY).nlink(2), &[])?;
        }
        // The kernel opens it for init's standard streams before anything is mounted (init/main.c,
        // console_on_rootfs).
        let console = Builder::new("dev/console").mode(CHARACTER_DEVICE).rdev_major(5).rdev_minor(1);
        archive.add(console, &[])?;
        archive.add(Builder::new(inside(INIT)).mode(PROGRAM), &self.init)?;
        for ask in &request.scenarios {
            let name = format!("{scenarios}/{}", ask.name);
            archive.add(Builder::new(&name).mode(LINK), INIT.as_bytes())?;
        }
        for file in &self.files {
            if let Some((dir, _)) = file.path.rsplit_once('/') {
                archive.add(Builder::new(dir).mode(DIRECTORY).nlink(2), &[])?;
            }
            archive.add(Builder::new(&file.path).mode(PROGRAM), &file.bytes)?;
        }
        let encoded = serde_json::to_vec(request).or_infra(|| "encode the request".to_owned())?;
        archive.add(Builder::new(inside(protocol::REQUEST_PATH)).mode(PLAIN), &encoded)?;
        archive.add(Builder::new(inside(protocol::KALLSYMS_PATH)).mode(PLAIN), &read(kallsyms)?)?;
        archive.finish()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).or_infra(|| format!("read {}", path.display()))
}

/// A path of the guest as the archive names it.
fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

pub(super) struct CpioArchive {
    bytes: Vec<u8>,
    inode: u32,
}

impl CpioArchive {
    /// An archive behind others, which are whole.
    pub(super) fn after(bytes: Vec<u8>) -> CpioArchive {
        CpioArchive { bytes, inode: 0 }
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        trailer(self.bytes).or_infra(|| "write the initramfs".to_owned())
    }

    pub(super) fn add(&mut self, entry: Builder, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).or_infra(|| "write the initramfs".to_owned())?;
        let mut writer = entry.ino(self.inode).write(&mut self.bytes, size);
        std::io::Write::write_all(&mut writer, content)
            .and_then(|()| writer.finish().map(drop))
            .or_infra(|| "write the initramfs".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use protocol::Ask;

    use super::*;

    #[test]
    fn the_initramfs_carries_the_program_the_names_it_goes_by_and_the_request() {
        let dir = tempfile::tempdir().unwrap();
        let binaries = Binaries { init: b"init".as_slice().into(), files: Vec::new(), userland: None };
        let kallsyms = dir.path().join("kallsyms");
        std::fs::write(&kallsyms, "a table").unwrap();
        let scenarios = vec![Ask {
            name: "exit".to_owned(),
            demand: 1,
            inject: None,
            set: Default::default(),
            secs: 0,
            exclusive: false,
            work: None,
            if_time: false,
            within_secs: None,
        }];
        let request = Request {
            scenarios,
            watch: Default::default(),
            inject: true,
            stall_secs: None,
            panic_on_warn: false,
            coverage: false,
            time_secs: None,
        };
        let bytes = binaries.initramfs(&request, &kallsyms).unwrap();
        let mut names = Vec::new();
        let mut rest = bytes.as_slice();
        loop {
            let reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push(format!("{} {:o}", reader.entry().name(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
        assert!(names.contains(&"init 100755".to_owned()), "{names:?}");
        assert!(names.contains(&"scenarios/exit 120777".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("munmap")), "{names:?}");
        assert!(names.contains(&"request.json 100644".to_owned()), "{names:?}");
        assert!(names.contains(&"kallsyms 100644".to_owned()), "{names:?}");
    }
}
