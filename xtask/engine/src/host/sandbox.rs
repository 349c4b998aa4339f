//! Confines every child that runs code of a patch or reads what such code made: make, QEMU, objdump, nm, addr2line.
//! Bubblewrap gives the child namespaces of its own, a read-only system, and only the files that its [`View`] names.
//! Decides nothing about builds and boots; without bubblewrap it runs nothing unless the user said `--no-sandbox`.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::host;
use crate::host::process::{self, ChildEnd};
use failure::{Failure, Result};

/// The directory that holds all files of a view; nothing on a host has this name.
pub const INSIDE: &str = "/patchproof";

const PROGRAM: &str = "bwrap";

/// How children are confined in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    Bubblewrap {
        /// What `bwrap --version` says.
        version: String,
        /// The system's read-only part, as arguments.
        system: Vec<OsString>,
    },
    /// `--no-sandbox`: children see and change what the user can.
    Off,
}

/// What one child sees of the host beyond the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    mounts: Vec<Mount>,
    /// The child's working directory.
    dir: Option<StartDir>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    outside: PathBuf,
    inside: PathBuf,
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    /// A device node.
    Device,
}

/// One file or directory, by its two names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StartDir {
    outside: PathBuf,
    inside: PathBuf,
}

/// Directories of a system that programs, libraries and headers are in; `/opt` and the stores of nix and guix hold
/// toolchains.
const SYSTEM: [&str; 10] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"];
/// Where the dynamic linker and Debian's alternatives look things up.
const LOOKED_UP: [&str; 4] =
    ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Programs that a build may call; those outside the system's directories are made visible.
const BUILD_PROGRAMS: [&str; 22] = [
    "make",
    "gcc",
    "cc",
    "ld",
    "as",
    "ar",
    "nm",
    "objcopy",
    "objdump",
    "addr2line",
    "strip",
    "readelf",
    "sh",
    "bash",
    "flex",
    "bison",
    "m4",
    "bc",
    "perl",
    "python3",
    "pahole",
    "ccache",
];

impl Sandbox {
    /// Bubblewrap, proved by running a program in it; [`Sandbox::Off`] only when `off` says so. `programs` are those
    /// that the run calls beyond the usual ones of a build.
    ///
    /// # Errors
    /// Infra, when bubblewrap is missing or does not work here: with what it said.
    pub fn find(off: bool, programs: &[String]) -> Result<Sandbox> {
        if off {
            return Ok(Sandbox::Off);
        }
        let Some(program) = host::find_program(PROGRAM) else {
            return Err(cannot("bwrap is not installed")
                .next("install the package bubblewrap, or let it be done: --install-deps"));
        };
        let said = duct::cmd!(program.as_os_str(), "--version").stdin_null().stderr_null().read();
        let version = said.unwrap_or_default().trim().to_owned();
        let sandbox = Sandbox::Bubblewrap { version, system: system(programs) };
        let words = sandbox.around(&["true".to_owned()], &View::default());
        let tried = duct::cmd(&words[0], &words[1..])
            .stdin_null()
            .stderr_to_stdout()
            .stdout_capture()
            .unchecked()
            .run();
        match tried {
            Ok(output) if output.status.success() => Ok(sandbox),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                Err(cannot(&format!("bwrap ended with {}: {said}", output.status)).next(
                    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone, \
                     kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)",
                ))
            }
            Err(error) => Err(cannot(&error.to_string())),
        }
    }

    pub fn is_on(&self) -> bool {
        *self != Sandbox::Off
    }

    /// In one line, for the report.
    pub fn describe(&self) -> String {
        match self {
            Sandbox::Bubblewrap { version, .. } => version.clone(),
            Sandbox::Off => "none (--no-sandbox)".to_owned(),
        }
    }

    /// The same command, confined to `view`.
    pub fn around(&self, command: &[String], view: &View) -> Vec<OsString> {
        let words = command.iter().map(OsString::from);
        let Sandbox::Bubblewrap { system, .. } = self else { return words.collect() };
        let mut all: Vec<OsString> = vec![PROGRAM.into()];
        all.extend(ISOLATED.iter().map(Into::into));
        all.extend(system.iter().cloned());
        for Mount { outside, inside, access } in &view.mounts {
            let option = match access {
                Access::Read => "--ro-bind",
                Access::Write => "--bind",
                Access::Device => "--dev-bind",
            };
            all.extend([option.into(), outside.into(), inside.into()]);
        }
        if let Some(dir) = &view.dir {
            all.extend(["--chdir".into(), dir.inside.clone().into()]);
        }
        // Last, because the mounts above need their mount points.
        all.extend(["--remount-ro", "/", "--"].map(Into::into));
        all.extend(words);
        all
    }

    /// The confined command, ready to be started. Without a sandbox it starts in the view's directory, outside.
    pub fn command(&self, command: &[String], view: &View) -> duct::Expression {
        let words = self.around(command, view);
        let expression = duct::cmd(&words[0], &words[1..]);
        match (self, &view.dir) {
            (Sandbox::Off, Some(dir)) => expression.dir(&dir.outside),
            (Sandbox::Off | Sandbox::Bubblewrap { .. }, _) => expression,
        }
    }

    /// How the program ended, where `end` is what became of the command: bubblewrap ends with 128 and the signal that killed
    /// the program.
    pub fn end(&self, end: ChildEnd) -> ChildEnd {
        match end {
            ChildEnd::Exited(status @ 129..=159) if self.is_on() => ChildEnd::Signalled(status - 128),
            other => other,
        }
    }

    /// How a confined program names `outside`, which `view` shows it.
    pub fn name(&self, view: &View, outside: &Path) -> PathBuf {
        match self {
            Sandbox::Off => outside.to_owned(),
            Sandbox::Bubblewrap { .. } => view.inside(outside).unwrap_or_else(|| outside.to_owned()),
        }
    }
}

/// No network, no other processes, no capabilities, no further user namespace; no device but those below; /tmp is empty
/// and goes with the child. /proc is read-only: to uid 0 of the host its files are writable by their mode alone, and
/// bubblewrap leaves /proc/sys as it is there (0.8.0, `core_pattern` of the host could be written).
const ISOLATED: [&str; 20] = [
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--cap-drop",
    "ALL",
    "--die-with-parent",
    "--hostname",
    "patchproof",
    "--proc",
    "/proc",
    "--remount-ro",
    "/proc",
    "--tmpfs",
    "/tmp",
    "--setenv",
    "HOME",
    "/tmp",
    "--setenv",
    "TMPDIR",
    "/tmp",
];

fn cannot(why: &str) -> Failure {
    Failure::infra("builds and guests cannot be confined here")
        .because(why)
        .because("a patch can run code while it is built: it is not run with your rights unless you say so")
        .next("or accept that the patch can do all that you can do: --no-sandbox")
}

/// The system's part of every view.
fn system(programs: &[String]) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for dir in there(&SYSTEM) {
        match std::fs::read_link(dir) {
            Ok(target) => words.extend(["--symlink".into(), target.into(), dir.into()]),
            Err(_) => words.extend(["--ro-bind", dir, dir].map(Into::into)),
        }
    }
    for path in there(&LOOKED_UP) {
        words.extend(["--ro-bind", path, path].map(Into::into));
    }
    for device in there(&DEVICES) {
        words.extend(["--dev-bind", device, device].map(Into::into));
    }
    for dir in elsewhere(programs) {
        words.extend(["--ro-bind".into(), dir.clone().into(), dir.into()]);
    }
    words
}

fn there(paths: &'static [&str]) -> impl Iterator<Item = &'static str> {
    paths.iter().copied().filter(|path| Path::new(path).exists())
}

/// Directories outside the system's that programs of the run are in, with what belongs to a toolchain next to them. Not
/// the directory above them: that may be a home.
fn elsewhere(programs: &[String]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    let mut add = |dir: PathBuf| {
        if !is_system(&dir) && dir.is_dir() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    };
    let names = BUILD_PROGRAMS.iter().copied().chain(programs.iter().map(String::as_str));
    for found in names.filter_map(host::find_program) {
        let real = found.canonicalize().unwrap_or_else(|_| found.clone());
        for program in [found, real] {
            let Some(bin) = program.parent().filter(|bin| bin.is_absolute()) else { continue };
            add(bin.to_owned());
            if bin.ends_with("bin") {
                for name in ["lib", "lib64", "libexec", "include", "share"] {
                    add(bin.with_file_name(name));
                }
            }
        }
    }
    dirs
}

fn is_system(dir: &Path) -> bool {
    SYSTEM.iter().any(|system| dir.starts_with(system))
}

impl View {
    /// Shows the file or directory `outside` by the name `inside`, which is below [`INSIDE`].
    #[must_use]
    pub fn show(mut self, outside: &Path, inside: &Path, access: Access) -> View {
        self.mounts.push(Mount {
            outside: outside.to_owned(),
            inside: Path::new(INSIDE).join(inside),
            access,
        });
        self
    }

    /// Shows a device by its own name.
    #[must_use]
    pub fn device(mut self, device: &Path) -> View {
        let device = device.to_owned();
        self.mounts.push(Mount { outside: device.clone(), inside: device, access: Access::Device });
        self
    }

    /// The child starts in `outside`, which the view shows.
    #[must_use]
    pub fn start_in(mut self, outside: &Path) -> View {
        let inside = self.inside(outside).unwrap_or_else(|| PathBuf::from(INSIDE));
        self.dir = Some(StartDir { outside: outside.to_owned(), inside });
        self
    }

    /// By the innermost mount that holds it.
    fn inside(&self, outside: &Path) -> Option<PathBuf> {
        let holds = self.mounts.iter().filter(|mount| outside.starts_with(&mount.outside));
        let mount = holds.max_by_key(|mount| mount.outside.components().count())?;
        let rest = outside.strip_prefix(&mount.outside).ok()?;
        Some(if rest.as_os_str().is_empty() { mount.inside.clone() } else { mount.inside.join(rest) })
    }
}

/// Far above what binutils need for one object.
const TOOL_DEADLINE: Duration = Duration::from_secs(60);

impl Sandbox {
    /// What a program of binutils prints about `file`, which stands last in its command after `arguments`; `after`
    /// follows it. What the program says of its failure goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, does not end in time or fails.
    pub fn read_object(
        &self,
        program: &str,
        arguments: &[&str],
        file: &Path,
        after: &[String],
        log: &Path,
    ) -> Result<String> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let name = file.file_name().unwrap_or_default();
        let view = View::default().show(&file, Path::new(name), Access::Read);
        let mut command = vec![program.to_owned()];
        command.extend(arguments.iter().map(ToString::to_string));
        command.push(self.name(&view, &file).display().to_string());
        command.extend_from_slice(after);
        process::must(program, self.command(&command, &view), log, TOOL_DEADLINE)
    }
}

/// Characters in a path that kbuild or make do not take (Makefile: "source directory cannot contain spaces or colons").
pub fn hostile_to_make(path: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+,@%=~".contains(c);
    let odd = |text: &str| !text.chars().all(plain);
    path.components().any(|part| match part {
        Component::Normal(name) => name.to_str().is_none_or(odd),
        Component::RootDir | Component::CurDir | Component::ParentDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests;
