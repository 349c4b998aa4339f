//! The QEMU command line of a cell, as a pure function: what runs, what the report shows and what `repro.sh`
//! repeats is one and the same list.

use std::path::Path;

use crate::boot::timeouts;
use crate::host::accel::Accel;
use crate::host::arch::Arch;

/// The directory of QEMU's monitor, in the directory that QEMU is started in: it has to be writable.
pub const MONITOR_DIR: &str = "monitor";
/// The monitor's socket. A longer path may not fit into a socket's address.
pub const MONITOR: &str = "monitor/qmp.sock";

/// QEMU gives up what it needs no more (seccomp): a guest that gets out of the emulation starts no program. Boots are as
/// fast.
const SECCOMP: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// The files one guest reads and writes, as QEMU names them.
#[derive(Debug, Clone, Copy)]
pub struct GuestFiles<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    pub console: &'a Path,
    pub results: &'a Path,
}

/// The machine that a guest runs on.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    pub arch: &'a Arch,
    pub accel: Accel,
    pub cpus: u32,
    /// `Variant::cpus_in_turn`.
    pub in_turn: bool,
    pub memory_mib: u32,
    /// Of the host's time-stamp counter, where it is known (`host::tsc_mhz`).
    pub tsc_mhz: Option<u64>,
}

/// QEMU and its arguments; `more` goes to the kernel's command line. It has to be started in the cell's directory.
pub fn command(machine: Machine<'_>, files: GuestFiles<'_>, nonce: &str, more: &[String]) -> Vec<String> {
    let nonce = format!("{}={nonce}", protocol::NONCE_KEY);
    let words = more.iter().map(String::as_str).chain([nonce.as_str()]);
    let mut command = bare(machine, files.kernel, files.console, words);
    let mut add = |words: &[&str]| command.extend(words.iter().map(ToString::to_string));
    add(&["-initrd", &files.initramfs.display().to_string()]);
    add(&["-qmp", &format!("unix:{MONITOR},server=on,wait=off")]);
    add(&["-device", machine.arch.results_device]);
    add(&["-chardev", &format!("file,id=results,path={}", escape(files.results))]);
    add(&["-device", &format!("virtserialport,chardev=results,name={}", protocol::PORT_NAME)]);
    command
}

/// The same machine with nothing to run but the kernel, whose command line ends with `words`.
pub fn bare<'a>(
    machine: Machine<'_>,
    kernel: &Path,
    console: &Path,
    words: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let Machine { arch, accel, cpus, in_turn, memory_mib, tsc_mhz } = machine;
    // A panic restarts the guest at once, which ends QEMU: nobody waits for a dead kernel.
    let first = format!("console={} panic=-1 {}", arch.console, timeouts::kernel_arguments(accel));
    // The counter of the host is that of the guest (cpu_get_host_ticks() in QEMU's include/qemu/timer.h); by an emulated
    // timer the kernel once found 45 MHz instead of 2300 on a busy host, and its clock ran 50 times too fast.
    let clock = tsc_mhz.filter(|_| accel == Accel::Tcg && arch.reads_host_tsc);
    let clock = clock.map(|mhz| format!("tsc_early_khz={mhz}000"));
    let own = arch.arguments.iter().copied().map(str::to_owned).chain(clock);
    let words = own.chain(words.into_iter().map(str::to_owned));
    let append = words.fold(first, |line, word| line + " " + &word);
    let mut command: Vec<String> = vec![arch.qemu.to_owned()];
    let mut add = |words: &[&str]| command.extend(words.iter().map(ToString::to_string));
    let threads = if in_turn && accel == Accel::Tcg { ",thread=single" } else { "" };
    let accelerator = format!("{}{threads}", accel.name());
    add(&["-machine", arch.machine, "-accel", &accelerator, "-cpu", accel.cpu_model(arch)]);
    add(&["-smp", &format!("{cpus}{}", arch.topology), "-m", &format!("{memory_mib}M")]);
    // No device that was not asked for; a restart ends QEMU, with status 0 whatever happened.
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", SECCOMP]);
    // The console goes to a file: a pty without a reader would stall the guest.
    add(&["-serial", &format!("file:{}", escape(console))]);
    add(&["-kernel", &kernel.display().to_string(), "-append", &append]);
    command
}

/// QEMU's option syntax splits at commas; a doubled one is a comma.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The command as a line for a shell.
pub fn shell_line(command: &[String]) -> String {
    let words = command.iter().map(String::as_str);
    // The one error is a zero byte, which no word of a command can have.
    shlex::Quoter::new().allow_nul(true).join(words).unwrap_or_default()
}
