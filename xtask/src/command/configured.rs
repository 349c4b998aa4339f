//! What a request of symbols comes to by the tree's own Kconfig: configures, and compiles nothing. What was found for a variant
//! as it stands in its campaign is kept for the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kbuild::Value;
use serde::{Deserialize, Serialize};

use crate::build::{self, Job};
use crate::cache::Key;
use crate::host;
use crate::host::arch::Arch;
use crate::host::disk;
use crate::host::sandbox::Sandbox;
use crate::source::build_dir::{self, BuildDir};
use crate::source::files::Changes;
use crate::source::worktree::WorkTree;
use crate::subject::kconfig::{self, KconfigRequest};
use failure::{Context, Result};

/// One source for one architecture.
pub struct Configurator<'a> {
    pub sandbox: &'a Sandbox,
    pub work: &'a WorkTree,
    pub arch: &'a Arch,
    /// The patched tree's.
    pub changes: &'a Changes,
}

/// Programs whose versions Kconfig asks for (scripts/Kconfig.include, init/Kconfig).
const ASKED: [&str; 5] = ["gcc", "ld", "rustc", "bindgen", "pahole"];

/// What tells one version of these from another, without a question to each: where it is, how long, and from when.
fn tools(arch: &Arch) -> Vec<String> {
    let prefixes = BTreeSet::from(["", arch.prefix()]);
    let names = ASKED.iter().flat_map(|name| prefixes.iter().map(move |prefix| format!("{prefix}{name}")));
    let places = names
        .flat_map(|name| host::find_program(&name).into_iter().chain([Path::new("/usr/bin").join(name)]));
    let identity = |path: PathBuf| {
        let data = std::fs::metadata(&path).ok()?;
        Some(format!("{} {} {:?}", path.display(), data.len(), data.modified().ok()))
    };
    places.filter_map(identity).collect()
}

/// A `.config`, by symbol without `CONFIG_`.
pub type Configuration = BTreeMap<String, Value>;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct KeptConfig {
    key: String,
    config: String,
}

impl Configurator<'_> {
    /// The configuration of `requests`; None where Kconfig itself fails, which the builds will say.
    ///
    /// # Errors
    /// On interruption, and when the harness's own files cannot be written.
    pub fn configure(&self, requests: &[KconfigRequest]) -> Result<Option<Configuration>> {
        Ok(self.make(requests)?.as_deref().map(values))
    }

    /// As [`Configurator::configure`], but as an earlier run found it, if that asked for the same under the same `name`.
    ///
    /// # Errors
    /// As [`Configurator::configure`].
    pub fn configure_once(&self, name: &str, requests: &[KconfigRequest]) -> Result<Option<Configuration>> {
        let kept = self.home().join(format!("{name}.json"));
        let key = self.key(requests)?;
        let known =
            std::fs::read(&kept).ok().and_then(|json| serde_json::from_slice::<KeptConfig>(&json).ok());
        if let Some(known) = known.filter(|known| known.key == key) {
            return Ok(Some(values(&known.config)));
        }
        let Some(config) = self.make(requests)? else { return Ok(None) };
        let found = values(&config);
        let json =
            serde_json::to_vec(&KeptConfig { key, config }).or_infra(|| "encode a .config".to_owned())?;
        disk::write_whole(&kept, &json)?;
        Ok(Some(found))
    }

    /// Beside the build directories: no kernel starts from it.
    fn home(&self) -> PathBuf {
        self.work.home().join(format!("configure-{}{}", self.arch.name, self.work.suffix()))
    }

    fn key(&self, requests: &[KconfigRequest]) -> Result<String> {
        let key = Key::new("config", 1)
            .with("tree", self.work.identity()?.as_bytes())
            .with("requests", kconfig::render(requests).as_bytes())
            .with("tools", tools(self.arch).join(" ").as_bytes());
        let own = self.changes.iter().filter(|(path, _)| is_kconfig(path));
        Ok(own.fold(key, |key, (path, content)| key.with_file(path, content.as_ref())).finish())
    }

    fn make(&self, requests: &[KconfigRequest]) -> Result<Option<String>> {
        let home = self.home();
        disk::create_dir(&home)?;
        let dir = home.join("build-dir");
        let (tree, objects) = (build_dir::tree_in(&dir), build_dir::objects_in(&dir));
        let job = Job {
            sandbox: self.sandbox,
            tree: &tree,
            objects: &objects,
            arch: self.arch,
            requests,
            jobs: 1,
            ccache: None,
            cell_dir: &home,
            kconfig: "",
            touched: &BTreeSet::new(),
            runs_own_code: true,
            keep_code: false,
            counted: &[],
        };
        let mut build_dir = BuildDir::open(self.work, dir)?;
        build_dir.begin(self.changes, &job.place())?;
        let config = build::configure(&job)?;
        // Nothing is made of objects here but Kconfig's own program.
        build_dir.settle()?;
        Ok(config)
    }
}

/// A file that Kconfig reads.
pub fn is_kconfig(path: &str) -> bool {
    Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with("Kconfig"))
}

fn values(config: &str) -> Configuration {
    kconfig::values(config).into_iter().map(|(symbol, value)| (symbol.to_owned(), value_of(value))).collect()
}

/// As it is written in a `.config` or a fragment.
pub fn value_of(text: &str) -> Value {
    match text {
        "y" => Value::Yes,
        "m" => Value::Module,
        "n" => Value::No,
        other => Value::Text(other.trim_matches('"').to_owned()),
    }
}
