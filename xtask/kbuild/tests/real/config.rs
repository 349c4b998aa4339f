//! Configurations made by the tree's own make.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use kbuild::{Assignment, Expr, KbuildTree, Value};

pub type Config = HashMap<String, Value>;

/// A tree, the architecture, and a directory for its configurations.
pub struct KconfigPlace {
    pub source: PathBuf,
    pub arch: String,
    out: PathBuf,
}

/// A variable that the test cannot do without.
pub fn needed(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")))
}

pub fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

pub fn value_in(config: &Config, name: &str) -> Value {
    config.get(name).cloned().unwrap_or(Value::No)
}

impl KconfigPlace {
    /// `name` keeps tests that run at the same time apart.
    pub fn new(name: &str) -> KconfigPlace {
        let out =
            env::var_os("KBUILD_OUT").map_or_else(|| env::temp_dir().join("kbuild-real"), PathBuf::from);
        let arch = env::var("KBUILD_ARCH").unwrap_or_else(|_| "x86".into());
        let out = out.join(format!("{name}-{arch}"));
        fs::create_dir_all(&out).unwrap();
        KconfigPlace { source: needed("KBUILD_TREE"), arch, out }
    }

    pub fn tree(&self) -> KbuildTree {
        KbuildTree::open(&self.source, &self.arch).unwrap()
    }

    /// The architecture's defconfig without modules.
    pub fn base(&self) -> Config {
        self.make(if self.arch == "x86" { "x86_64_defconfig" } else { "defconfig" });
        self.make("mod2yesconfig");
        self.read()
    }

    fn make(&self, goal: &str) {
        let arch = if self.arch == "x86" { "x86_64" } else { &self.arch };
        let settings = [format!("O={}", self.out.display()), format!("ARCH={arch}")];
        let make =
            Command::new("make").arg("-s").arg("-C").arg(&self.source).args(settings).arg(goal).output();
        let done = make.unwrap();
        assert!(done.status.success(), "{goal}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Up to three rounds: what olddefconfig drops is asked for again with what it made.
    pub fn solve(&self, tree: &KbuildTree, want: &Expr, base: &Config) -> Result<Assignment, String> {
        let mut config = base.clone();
        let mut dropped = Vec::new();
        for _ in 0..3 {
            let given = |name: &str| value_in(&config, name);
            let assignment = tree.solve(want, &given).map_err(|reason| format!("{want}: {reason}"))?;
            config = self.olddefconfig(tree, &config, &assignment);
            let now = |name: &str| value_in(&config, name);
            let lost = assignment.set.iter().filter(|(name, value)| now(name) != **value);
            dropped = lost.map(|(name, _)| tree.why_dropped(name, &now)).collect();
            if dropped.is_empty() && want.holds(&now) != Some(false) {
                return Ok(assignment);
            }
        }
        Err(format!("{want} does not hold after olddefconfig: {}", dropped.join(" | ")))
    }

    fn olddefconfig(&self, tree: &KbuildTree, base: &Config, assignment: &Assignment) -> Config {
        let mut config: BTreeMap<&String, &Value> = base.iter().collect();
        config.extend(&assignment.set);
        let lines = config.iter().map(|(name, value)| tree.config_line(name, value));
        fs::write(self.out.join(".config"), lines.collect::<String>()).unwrap();
        self.make("olddefconfig");
        self.read()
    }

    fn read(&self) -> Config {
        let text = fs::read_to_string(self.out.join(".config")).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
        let off = text.lines().filter_map(|line| line.strip_prefix("# CONFIG_")?.strip_suffix(" is not set"));
        let value = |text: &str| match text {
            "y" => Value::Yes,
            "m" => Value::Module,
            text => Value::Text(text.trim_matches('"').to_string()),
        };
        let on = lines.map(|(name, text)| (name.to_string(), value(text)));
        on.chain(off.map(|name| (name.to_string(), Value::No))).collect()
    }
}
