//! A bench for end-to-end tests of the real binary: a tiny tree, a campaign, and stand-ins for make, cargo and
//! QEMU on PATH. For failure handling only.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

const CAMPAIGN: &str = "
patch: patches/mmu_gather-v2.patch
trees: [\"7.2\"]
scenarios: [{name: munmap, fallbacks: 8}]
variants:
  - name: v
    arch: x86_64
    about: stand-ins
    fragments: [pt-reclaim-on]
    expect: {base: ipi, patched: rcu_sync}
";

/// Does what the harness asks of make: a `.config` out of the fragment, a file for the image.
const MAKE: &str = r#"#!/bin/sh
for arg; do
    case "$arg" in
    O=*) out=${arg#O=} ;;
    KCONFIG_ALLCONFIG=*) fragment=${arg#KCONFIG_ALLCONFIG=} ;;
    -C) ;;
    esac
    target=$arg
done
if [ "$1" = -C ]; then tree=$2; fi
if [ "$target" = allnoconfig ]; then
    cp "$fragment" "$out/.config"
    if [ "$STAND_IN_MAKE" = loses-symbol ]; then sed -i /PT_RECLAIM/d "$out/.config"; fi
    exit 0
fi
echo "  CC      mm/mmu_gather.o"
if grep -q tlb_remove_table_sync_rcu "$tree/mm/mmu_gather.c"; then
    case "$STAND_IN_MAKE" in
    compile-error) echo "$tree/mm/mmu_gather.c:315:2: error: stand-in"; exit 2 ;;
    killed) echo "gcc: fatal error: Killed signal terminated program cc1"; exit 2 ;;
    slow) sleep 4 ;;
    disk-full) echo "x.s: fatal error: error writing: No space left on device"; exit 2 ;;
    esac
fi
if [ "$STAND_IN_MAKE" = hangs ]; then
    sleep 1000 &
    echo $! > "$STAND_IN_PIDS"
    wait
fi
echo image > "$out/vmlinux"
"#;

const CARGO: &str = r#"#!/bin/sh
dir="$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/guest"
mkdir -p "$dir"
echo init > "$dir/init"
echo scenarios > "$dir/scenarios"
"#;

pub struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/patch/base");
        let files = ["mm/mmu_gather.c", "include/asm-generic/tlb.h"];
        for file in files {
            bench.write(&format!("tree/{file}"), &std::fs::read_to_string(data.join(file)).unwrap());
        }
        bench.write("tree/Makefile", "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\nEXTRAVERSION =\n");
        bench.write("tree/Kconfig", "config PT_RECLAIM\n\tdef_bool y\n\tdepends on STANDING_IN\n");
        bench.write("c.yaml", CAMPAIGN);
        bench.write("trees.yaml", "trees: [{name: \"7.2\"}]\n");
        bench.program("bin/make", MAKE);
        bench.program("bin/cargo", CARGO);
        bench.program(
            "bin/qemu-system-x86_64",
            &format!("#!/bin/sh\nexec '{}' \"$@\"\n", stand_in_qemu().display()),
        );
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
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
    pub fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("PATH", path)
            .env("CARGO", self.path("bin/cargo"))
            .env("PATCHPROOF_WORK", self.path("work"))
            .env("STAND_IN_PIDS", self.path("pids"))
            .env_remove("STAND_IN_QEMU")
            .env_remove("STAND_IN_MAKE")
            .envs(env.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// The arguments of a matrix of the stand-in campaign.
    pub fn matrix<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        [&["matrix", "--campaign", "./c.yaml", "--tree", "7.2=tree", "--accel", "tcg"], more].concat()
    }

    pub fn run(&self, more: &[&str], env: &[(&str, &str)]) -> Outcome {
        let output = self.command(&self.matrix(more), env).output().unwrap();
        Outcome::new(&output, self.report())
    }

    pub fn start(&self, more: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(&self.matrix(more), env);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The report of the last run, `Null` if there is none.
    pub fn report(&self) -> serde_json::Value {
        std::fs::read(self.path("work/runs/latest/report.json"))
            .map_or(serde_json::Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }
}

#[derive(Debug)]
pub struct Outcome {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub report: serde_json::Value,
}

impl Outcome {
    pub fn new(output: &Output, report: serde_json::Value) -> Outcome {
        Outcome {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report,
        }
    }

    pub fn verdict(&self) -> &str {
        self.report["pairs"][0]["verdict"].as_str().unwrap_or("no verdict")
    }

    pub fn reasons(&self) -> String {
        self.report["pairs"][0]["reasons"].to_string()
    }
}

/// `cargo test` builds it beside the tests, but not when it was asked for one test file.
fn stand_in_qemu() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let args = ["build", "--quiet", "--locked", "-p", "xtask", "--example", "stand_in_qemu"];
        assert!(Command::new(env!("CARGO")).args(args).status().unwrap().success());
    });
    Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("examples").join("stand_in_qemu")
}
