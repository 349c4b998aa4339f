//! Adds selftests of the tree to a derived plan: those that the user names, and a few of those that are about the changed
//! files. What does not build is said, and is no failure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Workload;

use super::setting::Setting;
use super::user_program;
use crate::build::selftests::{SelftestBuild, SelftestProgram, SelftestSources, SelftestTree};
use crate::campaign::Scenario;
use crate::derive::selftests::{SelftestPlace, nearest_first, places};
use crate::host::arch::Arch;
use crate::observe::events::{Event, Events};
use crate::source::worktree::WorkTree;
use failure::{Exit, Result};
use patch::{Base, Overlay};

/// Programs that are run without having been asked for.
const FOUND_MAX: usize = 12;

/// Programs of the directories that the user names.
const ASKED_MAX: usize = 100;

/// Programs that do not build, each in a line.
const TOLD_MAX: usize = 8;

impl Setting<'_> {
    /// Selftests as workloads, their programs left in the directory of the run.
    ///
    /// # Errors
    /// On interruption, and where what the user asked for cannot be built at all.
    pub(super) fn selftests(
        &self,
        events: &Events,
        work: &WorkTree,
        patched: &Overlay<'_>,
        arch: &'static Arch,
    ) -> Result<Vec<Scenario>> {
        let changed: Vec<&str> = patched.changed.keys().map(String::as_str).collect();
        let maintainers = patched.read("MAINTAINERS")?.unwrap_or_default();
        let found = places(&String::from_utf8_lossy(&maintainers), &changed);
        let asked = self.args.selftest.iter().map(|dir| SelftestPlace {
            dir: dir.trim_matches('/').trim_start_matches("tools/testing/selftests/").to_owned(),
            names: None,
        });
        let asked: Vec<SelftestPlace> = asked.collect();
        if !arch.is_native() || (asked.is_empty() && found.is_empty()) {
            return Ok(Vec::new());
        }
        let (tree, identity) = (work.dir(), work.identity()?);
        let sources = SelftestSources {
            tree: &tree,
            identity: &identity,
            changed: &patched.changed,
            arch,
            sandbox: &self.sandbox,
            home: &self.project.work().join("selftests"),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let mut making = SelftestMaking { sources: &sources, open: None, events };
        let made = making.all(&asked, &found, &changed);
        match made {
            Ok(built) => self.scenarios_of(events, arch, built),
            Err(failure) if failure.exit == Exit::Interrupted || !asked.is_empty() => Err(failure),
            Err(failure) => {
                events.note(format!("selftests left out: {}", failure.to_string().replace('\n', ";")));
                Ok(Vec::new())
            }
        }
    }

    fn scenarios_of(&self, events: &Events, arch: &Arch, built: Vec<SelftestMade>) -> Result<Vec<Scenario>> {
        let mut scenarios = Vec::new();
        let mut not = Vec::new();
        for SelftestMade { program, build, asked } in built {
            let name = format!("selftest-{}", program.full_name());
            match build {
                SelftestBuild::Program(path) => {
                    let inside = user_program::keep(&path, &name, arch, &self.dir.path)?;
                    let work = Workload::Selftest(vec![inside]);
                    scenarios.push(match asked {
                        true => Scenario::workload(name, work),
                        false => Scenario::found(name, work),
                    });
                }
                SelftestBuild::Not(why) => {
                    not.push(format!("selftest {} left out: {why}", program.full_name()))
                }
            }
        }
        let more = not.len().saturating_sub(TOLD_MAX);
        not.iter().take(TOLD_MAX).for_each(|line| events.note(line.clone()));
        if more > 0 {
            events.note(format!("{more} selftests more do not build"));
        }
        if !scenarios.is_empty() {
            let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            events.note(format!("derived: {}", names.join(" ")));
        }
        Ok(scenarios)
    }
}

/// What became of a program, and whether the user asked for it.
struct SelftestMade {
    program: SelftestProgram,
    build: SelftestBuild,
    asked: bool,
}

/// Builds what was not built before; the tree is only made ready if there is such a program.
struct SelftestMaking<'a> {
    sources: &'a SelftestSources<'a>,
    open: Option<SelftestTree<'a>>,
    events: &'a Events,
}

impl SelftestMaking<'_> {
    fn all(
        &mut self,
        asked: &[SelftestPlace],
        found: &[SelftestPlace],
        changed: &[&str],
    ) -> Result<Vec<SelftestMade>> {
        let asked = self.programs(asked, ASKED_MAX)?;
        let mut found = self.programs(found, usize::MAX)?;
        found.retain(|program| !asked.contains(program));
        nearest_first(&mut found, |program| program.name.clone(), changed);
        found.truncate(FOUND_MAX);
        let mut by_dir: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for program in asked.iter().chain(&found).filter(|program| self.sources.kept(program).is_none()) {
            by_dir.entry(&program.dir).or_default().push(program.name.clone());
        }
        for (dir, names) in by_dir {
            self.events.send(Event::Status(format!("building selftests of {dir}")));
            self.tree()?.build(dir, &names)?;
        }
        let made = |(program, asked): (SelftestProgram, bool)| {
            let build = self.sources.kept(&program);
            let build = build.unwrap_or_else(|| SelftestBuild::Not("it was not kept".to_owned()));
            SelftestMade { program, build, asked }
        };
        let asked = asked.into_iter().map(|program| (program, true));
        Ok(asked.chain(found.into_iter().map(|program| (program, false))).map(made).collect())
    }

    /// At most `most`, each once.
    fn programs(&mut self, places: &[SelftestPlace], most: usize) -> Result<Vec<SelftestProgram>> {
        let mut programs: Vec<SelftestProgram> = Vec::new();
        for place in places {
            let listed = match self.sources.listed(place) {
                Some(listed) => listed,
                None => self.tree()?.programs(place)?,
            };
            programs.extend(listed);
        }
        let mut known = BTreeSet::new();
        programs.retain(|program| known.insert(program.full_name()));
        programs.truncate(most);
        Ok(programs)
    }

    fn tree(&mut self) -> Result<&SelftestTree<'_>> {
        if self.open.is_none() {
            self.events.send(Event::Status("headers for selftests".to_owned()));
            self.open = Some(SelftestTree::open(self.sources)?);
        }
        self.open.as_ref().ok_or_else(|| failure::Failure::internal("the selftests were not opened"))
    }
}
