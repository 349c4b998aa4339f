//! A divided run on a real Slurm: a controller and two nodes on this host's loopback address, out of Debian's packages, with
//! everything below a temporary directory. Nothing is installed. Kernels are stand-ins in one test; in the other one they are real,
//! and the sources and the cache of this checkout are used.
//!
//! It needs root, Debian's apt and a network, and takes longer than CI has for it:
//! `cargo test -p xtask --test end_to_end -- --ignored --nocapture --test-threads 1 slurm`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::{Bench, Outcome};
use crate::build_dirs::two_variants;
use crate::parts::timeless;

const PACKAGES: [&str; 8] = [
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "munge",
    "libmunge2",
    "libhwloc15",
    "liblua5.1-0",
];

const SUBMIT: [&str; 6] = ["submit", "--engine", "slurm", "--parts", "2", "--"];

/// A cluster that ends with the test.
struct Slurm {
    dir: tempfile::TempDir,
    daemons: Vec<(String, Child)>,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for (_, daemon) in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for process in self.processes("") {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Slurm {
    fn up() -> Slurm {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root: slurmd runs jobs as their users"
        );
        let mut slurm = Slurm { dir: tempfile::tempdir().unwrap(), daemons: Vec::new() };
        slurm.unpack();
        slurm.configure();
        let munged = slurm.program("usr/sbin/munged");
        let munge = slurm.path("munge");
        let options = [
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        ];
        let options = options.map(|(name, file)| format!("--{name}={}", munge.join(file).display()));
        slurm.start("munged", Command::new(munged).arg("--foreground").args(options));
        slurm.wait("munge", || munge.join("socket").exists());
        let config = slurm.path("slurm.conf");
        let controller = slurm.program("usr/sbin/slurmctld-wlm");
        slurm.start("slurmctld", Command::new(controller).arg("-D").arg("-f").arg(&config));
        for node in ["n1", "n2"] {
            let (slurmd, step) =
                (slurm.program("usr/sbin/slurmd-wlm"), slurm.program("usr/sbin/slurmstepd-wlm"));
            let mut command = Command::new(slurmd);
            command.arg("-D").arg("-f").arg(&config).args(["-N", node]).arg("-d").arg(step);
            slurm.start(node, &mut command);
        }
        slurm.wait("two idle nodes", || slurm.nodes().matches("idle").count() == 2);
        slurm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.path("root").join(name)
    }

    /// Fetches the packages, whose signatures apt checks, and unpacks them below the temporary directory.
    fn unpack(&self) {
        let debs = self.path("debs");
        std::fs::create_dir(&debs).unwrap();
        // apt's own user fetches into a directory that it may write, where there is one.
        std::fs::set_permissions(self.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        must(
            Command::new("apt-get")
                .args(["download", "-q", "-o", "APT::Sandbox::User=root"])
                .args(PACKAGES)
                .current_dir(&debs),
        );
        for deb in std::fs::read_dir(&debs).unwrap() {
            must(Command::new("dpkg-deb").arg("-x").arg(deb.unwrap().path()).arg(self.path("root")));
        }
    }

    fn configure(&self) {
        for dir in ["munge", "state", "spool-n1", "spool-n2"] {
            std::fs::create_dir(self.path(dir)).unwrap();
        }
        let mut key = [0; 256];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut key).unwrap();
        std::fs::write(self.path("munge/key"), key).unwrap();
        std::fs::set_permissions(self.path("munge/key"), std::fs::Permissions::from_mode(0o400)).unwrap();
        let (dir, host) = (self.dir.path().display(), must(&mut Command::new("hostname")));
        let host = host.trim();
        let [controller, n1, n2] = [free_port(), free_port(), free_port()];
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={dir}/munge/socket\nCredType=cred/munge\n\
             PluginDir={dir}/root/usr/lib/x86_64-linux-gnu/slurm-wlm\nStateSaveLocation={dir}/state\n\
             SlurmdSpoolDir={dir}/spool-%n\nSlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
             SlurmctldLogFile={dir}/slurmctld.log\nSlurmdLogFile={dir}/slurmd-%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSelectType=select/linear\nSchedulerType=sched/builtin\n\
             MpiDefault=none\nReturnToService=2\nSlurmdTimeout=10\nMinJobAge=600\nSlurmdParameters=config_overrides\n\
             NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1\n\
             NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1\n\
             PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
        );
        std::fs::write(self.path("slurm.conf"), text).unwrap();
    }

    fn libraries(&self) -> String {
        let libraries = self.program("usr/lib/x86_64-linux-gnu").display().to_string();
        format!("{libraries}:{libraries}/slurm-wlm")
    }

    fn start(&mut self, name: &str, command: &mut Command) {
        let log = std::fs::File::create(self.path(&format!("{name}.out"))).unwrap();
        command.env("LD_LIBRARY_PATH", self.libraries()).env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        self.daemons.push((name.to_owned(), child));
    }

    fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_there() {
            assert!(started.elapsed() < Duration::from_secs(60), "no {what}: {}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn logs(&self) -> String {
        let names =
            ["munged.out", "slurmctld.out", "slurmctld.log", "slurmd-n1.log", "slurmd-n2.log", "n1.out"];
        let log = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        names.map(|name| format!("{name}:\n{}", log(name))).concat()
    }

    fn nodes(&self) -> String {
        let mut command = Command::new(self.program("usr/bin/sinfo"));
        command.args(["-h", "-N", "-o", "%N %T"]);
        command.env("LD_LIBRARY_PATH", self.libraries()).env("SLURM_CONF", self.path("slurm.conf"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    /// What Slurm started whose environment has `mark`.
    fn processes(&self, mark: &str) -> Vec<Pid> {
        let here = format!("SLURM_CONF={}", self.path("slurm.conf").display());
        let has =
            |bytes: &[u8], text: &str| bytes.windows(text.len().max(1)).any(|part| part == text.as_bytes());
        let entries = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let is_it = |dir: &Path| {
            let environ = std::fs::read(dir.join("environ")).unwrap_or_default();
            has(&environ, &here) && (mark.is_empty() || has(&environ, mark))
        };
        let pid = |dir: PathBuf| dir.file_name()?.to_str()?.parse().ok().and_then(Pid::from_raw);
        entries.filter(|dir| is_it(dir)).filter_map(pid).collect()
    }

    /// As if its power was cut: the daemon, and all that it had started.
    fn kill_node(&mut self, node: &str) {
        let at = self.daemons.iter().position(|(name, _)| name == node).unwrap();
        let (_, mut daemon) = self.daemons.remove(at);
        let group = |pid: &Pid| {
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default()
        };
        let jobs = self.processes(&format!("SLURMD_NODENAME={node}"));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        // The step's own daemon is the parent of its first process.
        for job in &jobs {
            let fields = group(job).rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
            let parent =
                fields.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            for pid in parent.into_iter().filter(|parent| {
                let name = std::fs::read_to_string(format!("/proc/{}/comm", parent.as_raw_pid()));
                name.is_ok_and(|name| name.starts_with("slurmstepd"))
            }) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for job in jobs {
            let _ = kill_process(job, Signal::KILL);
        }
    }

    /// `cargo xtask submit` with the matrix of the bench.
    fn submit(&self, bench: &Bench, env: &[(&str, &str)]) -> Command {
        let mut args = SUBMIT.map(str::to_owned).to_vec();
        args.extend(bench.matrix(&[]).into_iter().skip(1).filter(|word| word != "--rebuild"));
        let mut command = bench.command(&args, env);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        self.give(&mut command, &path.into_string().unwrap());
        command
    }

    /// Lets `command` find this cluster, behind what is on `path`.
    fn give(&self, command: &mut Command, path: &str) {
        command
            .env("PATH", format!("{path}:{}", self.program("usr/bin").display()))
            .env("LD_LIBRARY_PATH", self.libraries())
            .env("SLURM_CONF", self.path("slurm.conf"));
    }
}

/// Two variants, of which the second one has a word on its kernels' command line.
fn bench() -> Bench {
    let bench = two_variants();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    let slow =
        campaign.replace("about: other stand-ins\n", "about: other stand-ins\n    arguments: [slow]\n");
    assert_ne!(slow, campaign);
    bench.write("c.yaml", &slow);
    bench
}

#[test]
#[ignore = "sets up a Slurm: needs root, apt and a network, and takes two minutes"]
fn slurm_runs_the_parts_and_a_node_that_dies_costs_its_cells_alone() {
    let started = Instant::now();
    let mut slurm = Slurm::up();
    println!("two idle nodes after {:.1} s", started.elapsed().as_secs_f64());
    let whole = bench().run(&[], &[]);
    whole.is("pass", 0, "");

    let bench_of_all = bench();
    let submitted = Instant::now();
    let outcome = bench_of_all.finish(slurm.submit(&bench_of_all, &[]));
    println!("{}{}in {:.1} s", outcome.stderr, outcome.stdout, submitted.elapsed().as_secs_f64());
    assert_eq!(outcome.exit, Some(0), "{outcome:?}\n{}", slurm.logs());
    // The directory of the tree is in the origin, and of another bench.
    let same = |report: &Value| {
        let mut report = timeless(report);
        report["trees"][0]["origin"] = Value::Null;
        report
    };
    assert_eq!(same(&outcome.report), same(&whole.report));
    let cells = outcome.report["cells"].as_array().unwrap();
    assert!(cells.iter().all(|cell| cell["cached"] == true), "each kernel was built once: {cells:?}");

    // The guests of one variant hang, until the machine that they are on dies.
    let bench = bench();
    let mut command = slurm.submit(&bench, &[("STAND_IN_QEMU", "where:slow hangs")]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = || bench.path("work/runs/latest");
    let done = |part: &str| run().join("parts").join(part).join("report.json").exists();
    slurm.wait("end of one part", || done("1") || done("2"));
    let lost = if done("1") { "2" } else { "1" };
    slurm.wait("guest that hangs", || {
        slurm.processes("").iter().any(|pid| {
            std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid()))
                .is_ok_and(|name| name.trim() == "hangs")
        }) || hangs(&bench)
    });
    let node = slurm.node_of(lost);
    slurm.kill_node(&node);
    let killed = Instant::now();
    let outcome = Outcome::new(&child.wait_with_output().unwrap(), bench.report());
    println!(
        "{}{}node {node} killed; over {:.1} s later",
        outcome.stderr,
        outcome.stdout,
        killed.elapsed().as_secs_f64()
    );
    assert_eq!(outcome.exit, Some(3), "{outcome:?}\n{}", slurm.logs());
    let verdicts: Vec<&Value> =
        outcome.report["pairs"].as_array().unwrap().iter().map(|pair| &pair["verdict"]).collect();
    assert_eq!(verdicts, ["pass", "infra"], "{outcome:?}");
    assert!(outcome.stderr.contains(&format!("part {lost} of 2 did not come to its end")), "{outcome:?}");
}

fn hangs(bench: &Bench) -> bool {
    bench.processes().iter().any(|process| crate::bench::of_process(process, "comm").trim() == "hangs")
}

impl Slurm {
    /// The node that runs a part.
    fn node_of(&self, part: &str) -> String {
        let mut command = Command::new(self.program("usr/bin/squeue"));
        command.args(["-h", "--array", "--states=running", "-o", "%i %N"]);
        command.env("LD_LIBRARY_PATH", self.libraries()).env("SLURM_CONF", self.path("slurm.conf"));
        let listed = must(&mut command);
        let node = listed.lines().find_map(|line| {
            let (id, node) = line.split_once(' ')?;
            id.ends_with(&format!("_{part}")).then(|| node.trim().to_owned())
        });
        node.unwrap_or_else(|| panic!("part {part} is nowhere: {listed}"))
    }
}

/// `cargo xtask` of this checkout.
fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}

/// What stands fast in a run. What is counted differs from boot to boot.
#[derive(Debug, PartialEq)]
struct Judged {
    /// By variant, the verdict.
    pairs: Vec<(String, String)>,
    /// By cell, whether the bug that is planted there was seen.
    controls: Vec<(String, bool)>,
}

/// Of the run in `dir`.
fn judged(dir: &Path) -> Judged {
    let text = std::fs::read_to_string(dir.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pairs = report["pairs"].as_array().unwrap().iter();
    let controls = report["controls"].as_array().unwrap().iter();
    Judged {
        pairs: pairs.map(|pair| (text(&pair["variant"]), text(&pair["verdict"]))).collect(),
        controls: controls.map(|control| (text(&control["cell"]), control["caught"] == true)).collect(),
    }
}

#[test]
#[ignore = "sets up a Slurm: needs root, apt and a network, and builds and boots eleven real kernels"]
fn slurm_runs_real_kernels_and_a_node_that_dies_costs_its_cells_alone() {
    let runs = tempfile::tempdir().unwrap();
    let out = |name: &str| runs.path().join(name);
    let matrix = ["--only", "*x86_64*"];
    let started = Instant::now();
    let whole = xtask(&["matrix", "--out", out("whole").to_str().unwrap()]).args(matrix).output().unwrap();
    println!(
        "not divided: in {:.1} s: {}",
        started.elapsed().as_secs_f64(),
        String::from_utf8_lossy(&whole.stderr)
    );
    let whole = judged(&out("whole"));
    assert!(whole.pairs.len() > 1 && !whole.controls.is_empty(), "{whole:?}");

    let mut slurm = Slurm::up();
    let submit = |name: &str| {
        let mut command = xtask(&[]);
        let (before, after) = SUBMIT.split_at(5);
        command.args(before).arg("--out").arg(out(name)).args(after).args(matrix);
        slurm.give(&mut command, &std::env::var("PATH").unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (mut all, mut killed) = (submit("all"), submit("killed"));
    let started = Instant::now();
    let ran = all.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    println!("{said}{}in {:.1} s", String::from_utf8_lossy(&ran.stdout), started.elapsed().as_secs_f64());
    assert_eq!(judged(&out("all")), whole, "{}", slurm.logs());

    // A machine dies while a kernel is booted on it.
    let child = killed.spawn().unwrap();
    let boots = |slurm: &Slurm| {
        let of_guests = |pid: &Pid| {
            std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid()))
                .is_ok_and(|name| name.starts_with("qemu-system"))
        };
        ["n1", "n2"]
            .into_iter()
            .find(|node| slurm.processes(&format!("SLURMD_NODENAME={node}")).iter().any(of_guests))
    };
    let started = Instant::now();
    let node = loop {
        if let Some(node) = boots(&slurm) {
            break node;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "no guest: {}", slurm.logs());
        std::thread::sleep(Duration::from_millis(200));
    };
    slurm.kill_node(node);
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    println!("{said}{}node {node} killed", String::from_utf8_lossy(&ran.stdout));
    assert_eq!(ran.status.code(), Some(3), "{said}");
    let pairs = judged(&out("killed")).pairs;
    let lost = pairs.iter().filter(|(_, verdict)| verdict == "infra").count();
    assert!(lost > 0 && lost < pairs.len(), "{pairs:?}");
    for (pair, known) in pairs.iter().zip(&whole.pairs) {
        assert!(pair == known || pair.1 == "infra", "{pair:?}: {known:?} where it was not divided");
    }
}
