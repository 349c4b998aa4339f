//! Where things are: the project's own directories and what a campaign refers to by name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use protocol::Workload;

use crate::campaign::{self, Campaign, Scenario, Tree, Variant};
use crate::host::input;
use crate::host::yaml;
use crate::subject::control::{Control, Place};
use crate::subject::kconfig::{self, KconfigRequest};
use failure::{Context, Failure, Result};

/// Replaces `target/patchproof`.
const WORK_VARIABLE: &str = "PATCHPROOF_WORK";

/// Other places than those below [`Project::work`], for measuring what it takes without them.
pub const BUILD_DIRS_VARIABLE: &str = "PATCHPROOF_BUILD_DIRS";
/// The directory beside a tree that holds its build directories.
pub const BUILD_DIRS: &str = "build-dirs";
pub const CACHE_VARIABLE: &str = "PATCHPROOF_CACHE";

/// The checkout that is worked on.
#[derive(Debug, Clone)]
pub struct Project {
    pub root: PathBuf,
    /// Places set by the environment, absolute, by variable.
    elsewhere: BTreeMap<&'static str, PathBuf>,
}

impl Project {
    /// The checkout that `cargo xtask` was started in, or without cargo the one around the current directory. Never the one
    /// that the program was compiled in, which a copy of a checkout brings along in its `target/`.
    ///
    /// # Errors
    /// When neither is a checkout.
    pub fn here() -> Result<Project> {
        // cargo sets it for `cargo run` and `cargo test`.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let current = std::env::current_dir().or_infra(|| "find the current directory".to_owned())?;
        Project::at(Project::find(manifest.as_deref(), &current)?)
    }

    fn find(manifest: Option<&Path>, current: &Path) -> Result<PathBuf> {
        let above = |dir: &Path| dir.ancestors().find(|dir| is_checkout(dir)).map(Path::to_owned);
        let found = manifest.and_then(above).or_else(|| above(current));
        found.ok_or_else(|| {
            Failure::usage(format!("{} is in no checkout of patchproof", current.display()))
                .because("there is no directory above it with configs/trees.yaml, patches/ and xtask/")
                .next("start it in the checkout: cargo xtask ...")
        })
    }

    /// The project in `root`, with its places as the environment says.
    ///
    /// # Errors
    /// When the environment names a place relative to a current directory that is gone.
    pub fn at(root: PathBuf) -> Result<Project> {
        Project::with(root, |variable| std::env::var_os(variable))
    }

    fn with(root: PathBuf, value: impl Fn(&str) -> Option<OsString>) -> Result<Project> {
        let mut elsewhere = BTreeMap::new();
        for variable in [WORK_VARIABLE, BUILD_DIRS_VARIABLE, CACHE_VARIABLE] {
            // Empty counts as unset.
            let Some(value) = value(variable).filter(|value| !value.is_empty()) else { continue };
            // Now, because commands are started in other directories.
            let place = std::path::absolute(&value).map_err(|error| {
                Failure::usage(format!("{variable}={} cannot be found", value.to_string_lossy()))
                    .because(error.to_string())
                    .next("give the path from the root on")
            })?;
            elsewhere.insert(variable, place);
        }
        Ok(Project { root, elsewhere })
    }

    /// The same places, for a harness that is started in another directory.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.elsewhere.iter().map(|(variable, place)| (*variable, place.as_path()))
    }

    fn elsewhere(&self, variable: &str) -> Option<PathBuf> {
        self.elsewhere.get(variable).cloned()
    }

    /// Everything that is made and can be made again: `target/patchproof`, or where PATCHPROOF_WORK says.
    pub fn work(&self) -> PathBuf {
        self.elsewhere(WORK_VARIABLE).unwrap_or_else(|| self.root.join("target/patchproof"))
    }

    /// Kernels and boots that were made before.
    pub fn cache(&self) -> PathBuf {
        self.elsewhere(CACHE_VARIABLE).unwrap_or_else(|| self.work().join("cache"))
    }

    /// What ccache knows.
    pub fn ccache(&self) -> PathBuf {
        self.work().join("ccache")
    }

    pub fn runs(&self) -> PathBuf {
        self.work().join("runs")
    }

    /// What was learnt about this host's accelerators.
    pub fn accel_memory(&self) -> PathBuf {
        self.work().join("accel.json")
    }

    pub fn install_log(&self) -> PathBuf {
        self.work().join("install.log")
    }

    /// What the cells of the tree `tree`, which is kept in `home`, are built in; `suffix` tells runs apart that go on at the
    /// same time.
    pub fn build_dirs(&self, tree: &str, home: &Path, suffix: &str) -> PathBuf {
        match self.elsewhere(BUILD_DIRS_VARIABLE) {
            None => home.join(format!("{BUILD_DIRS}{suffix}")),
            Some(elsewhere) => elsewhere.join(format!("{tree}{suffix}")),
        }
    }

    /// Held by the run that goes on here.
    pub fn queue_lock(&self) -> PathBuf {
        self.work().join("queue.lock")
    }

    /// A patch of ours for the trees that use directory `dir` of `patches/`: a preparation or a helper.
    pub fn tree_patch(&self, dir: &str, name: &str) -> PathBuf {
        self.root.join("patches").join(dir).join(format!("{name}.patch"))
    }

    /// # Errors
    /// When a scenario of the campaign has no program: with the file to write.
    pub fn require_guest_tests(&self, campaign: &Campaign) -> Result<()> {
        let packages = self.root.join("guest-tests");
        let packages: Vec<PathBuf> = std::fs::read_dir(&packages)
            .or_infra(|| format!("list {}", packages.display()))?
            .flatten()
            .map(|package| package.path().join("src/bin"))
            .collect();
        let ours = |scenario: &&Scenario| scenario.work().is_none_or(|work| *work == Workload::Ours);
        for scenario in campaign.scenarios.iter().filter(ours) {
            let source = format!("{}.rs", scenario.name);
            if !packages.iter().any(|bins| bins.join(&source).is_file()) {
                return Err(Failure::usage(format!("no guest test `{}`", scenario.name))
                    .because(format!("campaign {} names it as a scenario", campaign.name))
                    .next(format!("write guest-tests/scenarios/src/bin/{source}")));
            }
        }
        Ok(())
    }

    /// The description of a control.
    pub fn control(&self, name: &str) -> PathBuf {
        self.root.join("patches/controls").join(format!("{name}.yaml"))
    }

    /// The places that controls are planted at.
    fn places(&self) -> PathBuf {
        self.root.join("patches/places.yaml")
    }
}

fn is_checkout(dir: &Path) -> bool {
    ["configs/trees.yaml", "patches/places.yaml", "xtask/Cargo.toml"]
        .iter()
        .all(|file| dir.join(file).is_file())
}

/// A campaign with everything that it names, read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// As it was asked for: a name, or the path of a file.
    pub wanted: String,
    pub campaign: Campaign,
    pub trees: Vec<Tree>,
    /// Trees of the campaign that the user's own ones stand in for.
    pub replaced: Vec<Tree>,
    pub controls: Vec<Control>,
    /// Where controls are planted, by name.
    pub places: BTreeMap<String, Place>,
}

impl Loaded {
    /// # Errors
    /// When anything is missing or not valid: with file and line.
    pub fn load(project: &Project, wanted: &str) -> Result<Loaded> {
        let configs = project.root.join("configs");
        let campaign = Campaign::load(&configs, wanted)?;
        // A campaign of the user's own may bring its own trees.
        let beside = campaign::file_of(&configs, wanted).with_file_name("trees.yaml");
        let trees_file = if beside.exists() { beside } else { configs.join("trees.yaml") };
        let known = campaign::load_trees(&trees_file)?;
        let trees = campaign
            .trees
            .iter()
            .map(|name| campaign::find_tree(&known, name).cloned())
            .collect::<Result<_>>()?;
        let places_file = project.places();
        let places: BTreeMap<String, Place> =
            yaml::parse(&places_file, &input::CONTROL.read_text(&places_file)?)?;
        let mut controls: Vec<Control> = Vec::new();
        for name in campaign.variants.iter().flat_map(|variant| &variant.controls) {
            if controls.iter().all(|control| control.name != *name) {
                let path = project.control(name);
                let control = Control::parse(name, &path, &input::CONTROL.read_text(&path)?)?;
                if !places.contains_key(&control.bug.at) {
                    return Err(Failure::usage(format!("{}: no place `{}`", path.display(), control.bug.at))
                        .next(format!("describe it in {}", places_file.display())));
                }
                if !control.signal.is_known_to(&campaign.subject) {
                    let what = control.signal.of_subject().unwrap_or_default();
                    return Err(Failure::usage(format!(
                        "{}: cannot show as `{}`",
                        path.display(),
                        control.signal
                    ))
                    .because(format!("the subject of campaign `{}` has no `{what}`", campaign.name)));
                }
                controls.push(control);
            }
        }
        Ok(Loaded { wanted: wanted.to_owned(), campaign, trees, replaced: Vec::new(), controls, places })
    }

    /// Puts trees of the user's `own` in the place of the campaign's, but for those to `keep`.
    pub fn stand_in(&mut self, own: Vec<Tree>, keep: impl Fn(&Tree) -> bool) {
        let first = self.campaign.trees.first().cloned().unwrap_or_default();
        for variant in self.campaign.variants.iter_mut().filter(|variant| !variant.trees.is_empty()) {
            if variant.is_on(&first) {
                variant.trees.extend(own.iter().map(|tree| tree.name.clone()));
            }
        }
        let (kept, replaced) = std::mem::take(&mut self.trees).into_iter().partition(keep);
        self.trees = kept;
        self.trees.extend(own);
        self.replaced = replaced;
        self.campaign.trees = self.trees.iter().map(|tree| tree.name.clone()).collect();
    }
}

/// The symbols that `variant` asks for, out of all its fragments.
///
/// # Errors
/// When a fragment is missing or not valid, or two of them disagree.
pub fn requests(project: &Project, variant: &Variant) -> Result<Vec<KconfigRequest>> {
    let fragments = variant.fragments.iter().map(|name| {
        let file = format!("configs/fragments/{name}.config");
        kconfig::parse_fragment(&file, &input::FRAGMENT.read_text(&project.root.join(&file))?)
    });
    let mut all: Vec<Vec<KconfigRequest>> = fragments.collect::<Result<_>>()?;
    let request = |symbol: &String, value: &String, origin: String, if_known| KconfigRequest {
        symbol: symbol.clone(),
        value: value.clone(),
        origin,
        if_known,
        instead: true,
    };
    let derived = variant.derived.iter().filter(|(symbol, _)| !variant.symbols.contains_key(*symbol));
    all.push(derived.map(|(symbol, value)| request(symbol, value, "the patch".to_owned(), true)).collect());
    let own = variant.symbols.iter().map(|(symbol, value)| {
        request(symbol, value, format!("symbols of the variant {}", variant.name), false)
    });
    all.push(own.collect());
    kconfig::merge(all)
}

/// The requests of every variant, by its id. Read once: an edit during a run does not reach its later cells.
///
/// # Errors
/// As [`requests`].
pub fn requests_of(project: &Project, campaign: &Campaign) -> Result<BTreeMap<String, Vec<KconfigRequest>>> {
    campaign.variants.iter().map(|variant| Ok((variant.id(), requests(project, variant)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_is_asked_for_by_some_campaign() {
        let project = Project::here().unwrap();
        let campaigns = campaign::campaigns_in(&project.root.join("configs"));
        let asked: Vec<Control> =
            campaigns.iter().flat_map(|name| Loaded::load(&project, name).unwrap().controls).collect();
        for entry in std::fs::read_dir(project.root.join("patches/controls")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(asked.iter().any(|control| control.name == name), "nothing runs {}", path.display());
        }
    }

    #[test]
    fn empty_place_is_unset_and_relative_place_becomes_absolute() {
        let here = std::env::current_dir().unwrap();
        let places = |work: &str, cache: &str| {
            let value = |variable: &str| match variable {
                WORK_VARIABLE => Some(work.into()),
                CACHE_VARIABLE => Some(cache.into()),
                _ => None,
            };
            let project = Project::with("/root".into(), value).unwrap();
            (project.work(), project.cache(), project.environment().count())
        };
        let default = PathBuf::from("/root/target/patchproof");
        assert_eq!(places("", ""), (default.clone(), default.join("cache"), 0));
        assert_eq!(places("w o,r%k", ""), (here.join("w o,r%k"), here.join("w o,r%k/cache"), 1));
        assert_eq!(places("/abs", "../c"), ("/abs".into(), here.join("../c"), 2));
    }

    #[test]
    fn an_own_tree_replaces_those_of_the_campaign_that_are_not_named_beside_it() {
        let mut loaded = Loaded::load(&Project::here().unwrap(), "mmu-gather").unwrap();
        let mine = Tree::own("mine", &loaded.trees[0]).unwrap();
        loaded.stand_in(vec![mine], |_| false);
        assert_eq!(loaded.campaign.trees, ["mine"]);
        assert_eq!(loaded.replaced[0].name, "7.2");
        let theirs = Tree::own("theirs", &loaded.trees[0]).unwrap();
        loaded.stand_in(vec![theirs], |_| true);
        assert_eq!(loaded.campaign.trees, ["mine", "theirs"]);
    }

    #[test]
    fn a_copy_of_a_checkout_is_a_checkout_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["configs/trees.yaml", "patches/places.yaml", "xtask/Cargo.toml"] {
            let path = dir.path().join("copy").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let copy = dir.path().join("copy");
        let find = |manifest: Option<&str>, current: &str| {
            let manifest = manifest.map(|path| dir.path().join(path));
            Project::find(manifest.as_deref(), &dir.path().join(current))
        };
        assert_eq!(find(None, "copy/patches").unwrap(), copy);
        assert_eq!(find(Some("copy/xtask"), "").unwrap(), copy);
        // The variable may be of another package's.
        assert_eq!(find(Some("other"), "copy").unwrap(), copy);
        let failure = find(None, "").unwrap_err();
        assert!(failure.what.ends_with("is in no checkout of patchproof"), "{failure}");
    }
}
