//! A bench for end-to-end tests of the real binary: a tiny tree, a campaign, and stand-ins for make, cargo, curl
//! and QEMU on PATH. For failure handling only.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const CAMPAIGN: &str = "
patch: patches/mmu_gather-v2.patch
subject: s
trees: [\"7.2\"]
scenarios: [{name: munmap, failures: 8, inject: all}]
variants:
  - name: v
    arch: x86_64
    about: stand-ins
    fragments: [pt-reclaim-on]
    expect: {base: sends, patched: waits}
";

/// What the stand-in of QEMU counts: a base kernel sends a message to every other CPU, a patched one waits.
pub const SUBJECT: &str = "
failure: slow way
unit: thing
readings: [{file: /sys/expedited, is: 0, otherwise: it proves nothing}]
inject: [{name: all, fault: failslab, under: [{function: give_up}]}]
events:
  - {name: send, title: broadcasts, shown: true, calls: [send_to_all]}
  - {name: receive, title: messages, effect: messages received, tracepoint: a/b, function: receive}
  - {name: wait, title: waits, shown: true, calls: [wait_for_all]}
  - {name: free, title: frees, calls: [free]}
order: [{name: early, event: free, after: [send, wait], since: give_up, broken: things were freed too early}]
gauges: [{name: things, title: things, file: /proc/things, each: 1}]
outcomes:
  - {name: sends, about: one broadcast, each: {send: 1, receive: bystanders, free: 1}, reached_by: [send, free]}
  - {name: waits, about: one wait, each: {wait: 1, free: 1}, reached_by: [wait, free]}
questions:
  - {ask: 'Does it take the new path?', takes: outcome}
  - {ask: 'Does it stop the messages?', stops: receive}
  - {ask: 'What does it cost?', costs: time}
";

/// With it a guest that says nothing is given up after two seconds, and any guest after six.
pub const SHORT_TIMEOUTS: (&str, &str) = ("PATCHPROOF_DEADLINE_PERCENT", "2");

pub struct Bench {
    dir: tempfile::TempDir,
    /// Where the tree comes from: arguments of the matrix.
    pub source: Vec<String>,
}

impl Bench {
    /// A bench whose tree is a directory of the user's.
    pub fn new() -> Bench {
        let source = ["--tree", "7.2=tree"].map(str::to_owned).to_vec();
        let bench = Bench { dir: tempfile::tempdir().unwrap(), source };
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/patch/base");
        for file in ["mm/mmu_gather.c", "include/asm-generic/tlb.h"] {
            bench.write(&format!("tree/{file}"), &std::fs::read_to_string(data.join(file)).unwrap());
        }
        bench.write("tree/Makefile", "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\nEXTRAVERSION =\n");
        bench.write("tree/Kconfig", "config PT_RECLAIM\n\tdef_bool y\n\tdepends on STANDING_IN\n");
        bench.write("c.yaml", CAMPAIGN);
        bench.write("subjects/s.yaml", SUBJECT);
        bench.write("trees.yaml", "trees: [{name: \"7.2\"}]\n");
        bench.program("bin/make", include_str!("stand_ins/make.sh"));
        bench.program("bin/cargo", include_str!("stand_ins/cargo.sh"));
        bench.program("bin/curl", include_str!("stand_ins/curl.sh"));
        std::os::unix::fs::symlink(stand_in_qemu(), bench.path("bin/qemu-system-x86_64")).unwrap();
        bench
    }

    /// A bench whose tree is an archive to be fetched.
    pub fn with_archive() -> Bench {
        let mut bench = Bench::new();
        bench.source.clear();
        let archive = bench.path("linux.tar.xz");
        let tar = ["-cJf", archive.to_str().unwrap(), "tree"];
        assert!(Command::new("tar").args(tar).current_dir(bench.dir.path()).status().unwrap().success());
        let sum = Command::new("sha256sum").arg(&archive).output().unwrap().stdout;
        let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
        let from =
            format!("{{version: 7.2.12, sha256: {sum}, url: \"https://stand-in.invalid/linux.tar.xz\"}}");
        bench.write("trees.yaml", &format!("trees: [{{name: \"7.2\", kernel_org: {from}}}]\n"));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Files of this name in the work directory.
    pub fn find(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.path("work")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else if entry.file_name() == name {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `cargo xtask ARGS` with the stand-ins, and with `env` on top.
    pub fn command(&self, args: &[String], env: &[(&str, &str)]) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("PATH", path)
            .env("CARGO", self.path("bin/cargo"))
            .env("PATCHPROOF_WORK", self.path("work"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("STAND_IN_ARCHIVE", self.path("linux.tar.xz"))
            .env_remove("PATCHPROOF_DEADLINE_PERCENT");
        for stand_in in ["CARGO", "CURL"] {
            command.env_remove(format!("STAND_IN_{stand_in}"));
        }
        // Nothing of the environment reaches a build or a guest.
        for (stand_in, file) in [("STAND_IN_MAKE", "bin/make.does"), ("STAND_IN_QEMU", "bin/qemu.does")] {
            let does = env.iter().find(|(name, _)| *name == stand_in);
            self.write(file, does.map_or("", |(_, does)| *does));
        }
        command.envs(env.iter().copied()).stdin(Stdio::null());
        command
    }

    /// The arguments of a matrix of the stand-in campaign.
    pub fn matrix(&self, more: &[&str]) -> Vec<String> {
        let accel = if more.contains(&"--accel") { &[][..] } else { &["--accel", "tcg"] };
        self.of_campaign("matrix", &[accel, more].concat())
    }

    /// The arguments of a command that builds the stand-in campaign.
    pub fn of_campaign(&self, command: &str, more: &[&str]) -> Vec<String> {
        let mut args = [command, "--campaign", "./c.yaml"].map(str::to_owned).to_vec();
        args.extend(self.source.clone());
        // Faults of building are planted again and again in one and the same kernel.
        if !more.contains(&"--recorded") && !more.contains(&"--rebuild") {
            args.push("--rebuild".to_owned());
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    pub fn run(&self, more: &[&str], env: &[(&str, &str)]) -> Outcome {
        self.finish(self.command(&self.matrix(more), env))
    }

    /// As [`Bench::run`], with everything that is made in `work`; its report is the last one there.
    pub fn run_in(&self, work: &Path, more: &[&str]) -> Outcome {
        let work_dir = work.to_str().unwrap();
        let output = self.command(&self.matrix(more), &[("PATCHPROOF_WORK", work_dir)]).output().unwrap();
        let report = std::fs::read(work.join("runs/latest/report.json"));
        let report = report.map_or(serde_json::Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        Outcome::new(&output, report)
    }

    /// Runs a command to its end; the report is the one that this run made.
    pub fn finish(&self, mut command: Command) -> Outcome {
        let before = self.latest();
        let output = command.output().unwrap();
        let begun = self.latest() != before;
        if begun {
            self.check_reports();
        }
        let outcome = Outcome::new(&output, if begun { self.report() } else { serde_json::Value::Null });
        outcome.check_exit_code();
        outcome
    }

    /// Checks the reports of the last run, as far as they exist: no unescaped character, no line that is too wide for
    /// people, and well-formed XML.
    fn check_reports(&self) {
        for name in ["report.txt", "report.json", "junit.xml"] {
            let Ok(bytes) = std::fs::read(self.path("work/runs/latest").join(name)) else { continue };
            let text = String::from_utf8(bytes).unwrap();
            is_shown(&text);
            if name == "report.txt" {
                let wide = text.lines().find(|line| line.chars().count() > 100);
                assert_eq!(wide, None, "{text}");
            }
            if name == "junit.xml" {
                roxmltree::Document::parse(&text).unwrap();
            }
        }
    }

    pub fn start(&self, more: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(&self.matrix(more), env);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The directory of an arm of the last run.
    pub fn cell(&self, arm: &str) -> PathBuf {
        self.path("work/runs/latest/cells/7.2/x86_64/v").join(arm)
    }

    fn latest(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path("work/runs/latest")).ok()
    }

    /// The report of the last run, `Null` if there is none.
    pub fn report(&self) -> serde_json::Value {
        std::fs::read(self.path("work/runs/latest/report.json"))
            .map_or(serde_json::Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }

    /// Processes of this bench: all carry its stand-ins in their `PATH`, the one variable that reaches builds.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.path("bin").display().to_string().into_bytes();
        let is_ours = |dir: &Path| {
            let environ = std::fs::read(dir.join("environ")).unwrap_or_default();
            environ.windows(mark.len()).any(|window| window == mark)
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        entries
            .filter(|dir| is_ours(dir))
            .map(|dir| {
                let words = std::fs::read(dir.join("cmdline")).unwrap_or_default();
                format!("{} {}", dir.display(), String::from_utf8_lossy(&words).replace('\0', " "))
            })
            .collect()
    }

    /// Waits until a stand-in of this bench hangs: a script waits for `sleep 1000` then, and the stand-in of QEMU has this
    /// name.
    pub fn wait_until_it_hangs(&self) {
        let hangs = |process: &String| {
            process.contains("sleep 1000") || of_process(process, "comm").trim() == "hangs"
        };
        wait_for(|| self.processes().iter().any(hangs).then_some(()));
    }

    /// What must hold after any fault: it gave no pass, no process is left, and the next run passes without
    /// any cleaning up. It is one line of the table that `cargo xtask faults` prints.
    pub fn survived(&self, fault: &str, outcome: &Outcome) {
        let left_at = Instant::now() + Duration::from_secs(20);
        while !self.processes().is_empty() && Instant::now() < left_at {
            std::thread::sleep(Duration::from_millis(20));
        }
        let left = self.processes();
        let next = self.run(&[], &[]);
        let passed = outcome.verdict() == "pass" || outcome.exit == Some(0);
        let recovered = left.is_empty() && next.verdict() == "pass" && next.exit == Some(0);
        if let Some(table) = std::env::var_os("PATCHPROOF_FAULT_TABLE") {
            let exit = outcome.exit.map_or("killed".to_owned(), |exit| exit.to_string());
            let line = format!("{fault}\t{}\t{exit}\t{passed}\t{recovered}\n", outcome.verdict());
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(table).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
        assert!(!passed, "{fault} gave a pass: {outcome:?}");
        assert!(left.is_empty(), "{fault} left {left:?}");
        assert!(recovered, "{fault}: the run after it: {next:?}");
    }
}

/// How a run of the harness ended.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub report: serde_json::Value,
}

impl Outcome {
    pub fn new(output: &Output, report: serde_json::Value) -> Outcome {
        let outcome = Outcome {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report,
        };
        is_shown(&outcome.stdout);
        is_shown(&outcome.stderr);
        assert!(!outcome.stderr.contains("a bug in patchproof") && outcome.exit != Some(70), "{outcome:?}");
        outcome
    }

    /// What standard output says, whatever lines it is broken into.
    pub fn said(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The exit code that a report names is the one that the program ended with.
    fn check_exit_code(&self) {
        let Some(exit) = self.report["exit_code"].as_i64() else { return };
        assert_eq!(self.exit.map(i64::from), Some(exit), "{self:?}");
        let first = self.stdout.lines().next().unwrap_or_default();
        assert!(first.starts_with('{') || first.ends_with(&format!(", exit code {exit}")), "{self:?}");
    }

    pub fn verdict(&self) -> &str {
        self.report["pairs"][0]["verdict"].as_str().unwrap_or("no verdict")
    }

    pub fn reasons(&self) -> String {
        self.report["pairs"][0]["reasons"].to_string()
    }

    pub fn is(&self, verdict: &str, exit: i32, reason: &str) {
        assert_eq!(self.verdict(), verdict, "{self:?}");
        assert_eq!(self.exit, Some(exit), "{self:?}");
        assert!(self.reasons().contains(reason), "{self:?}");
    }
}

/// Fails if `text` has a control character, a bidirectional or invisible one, or a noncharacter.
pub fn is_shown(text: &str) {
    let bad = |c: char| match c {
        '\n' => false,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        c => c.is_control() || u32::from(c) & 0xfffe == 0xfffe,
    };
    let found: String = text.chars().filter(|c| bad(*c)).collect();
    assert!(found.is_empty(), "{found:?} in {text:?}");
}

/// A file in /proc of a process as [`Bench::processes`] lists it; empty if it is gone.
pub fn of_process(process: &str, file: &str) -> String {
    let dir = process.split(' ').next().unwrap_or_default();
    std::fs::read_to_string(Path::new(dir).join(file)).unwrap_or_default()
}

/// To a child of the test that has not been waited for.
pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

pub fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn stand_in_qemu() -> PathBuf {
    example("stand_in_qemu")
}

/// `cargo test` builds it beside the tests, but not when it was asked for one test file.
pub fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let args = ["build", "--quiet", "--locked", "-p", "xtask", "--examples"];
        assert!(Command::new(env!("CARGO")).args(args).status().unwrap().success());
    });
    Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("examples").join(name)
}
