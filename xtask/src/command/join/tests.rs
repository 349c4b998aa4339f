use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::campaign::Suite;
use crate::campaign::partition::{Partition, cells_of, divide};
use crate::campaign::plan::Beside;
use crate::campaign::project::{Loaded, Project};
use crate::command::part::{DividedPlan, PlannedPart};
use crate::judge::Verdict;
use crate::observe::{Boot, CompileError};
use crate::report::{PatchReport, Report, TreeReport};

/// What a random run is made from.
#[derive(Debug, Clone)]
struct Made {
    versions: usize,
    most_controls: usize,
    of: usize,
    /// Those that have no place in the source.
    misplaced: Vec<Index>,
    /// What becomes of each cell.
    fates: Vec<u8>,
    /// What each took before.
    secs: Vec<u16>,
}

fn made() -> impl Strategy<Value = Made> {
    let many = prop::collection::vec(any::<u8>(), 64);
    let misplaced = prop::collection::vec(any::<Index>(), 0..4);
    let secs = prop::collection::vec(any::<u16>(), 0..64);
    (0..4usize, 0..4usize, 1..7usize, misplaced, many, secs).prop_map(
        |(versions, most_controls, of, misplaced, fates, secs)| Made {
            versions,
            most_controls,
            of,
            misplaced,
            fates,
            secs,
        },
    )
}

/// The plan of the default campaign with some versions, on two trees, before its source is looked at.
fn whole(made: &Made) -> Planned {
    let mut loaded = Loaded::load(&Project::here().unwrap(), "mmu-gather").unwrap();
    loaded.campaign.scenarios.retain(|scenario| scenario.suite == Suite::Quick);
    loaded.campaign.trees.push("other".to_owned());
    let names: Vec<String> = (0..made.versions).map(|number| format!("v{number}")).collect();
    let tree = loaded.campaign.trees[0].clone();
    let beside = Beside {
        versions: BTreeMap::from([(tree, names)]),
        controls: loaded.controls,
        leave_out: Vec::new(),
    };
    Planned {
        campaign: loaded.campaign.name.clone(),
        subject: loaded.campaign.subject.clone(),
        scenarios: loaded.campaign.scenarios.clone(),
        cells: plan::cells(&loaded.campaign, &beside).unwrap(),
        beside,
        most_controls: Some(made.most_controls),
        suite: None,
        started: "2026-01-01T00:00:00Z".to_owned(),
        sandbox: "bubblewrap".to_owned(),
        unconfined: false,
        unproved: PatchReport::default(),
        sources: Sources::default(),
        unreached_allowed: Vec::new(),
        unplanted: BTreeMap::new(),
        part: None,
    }
}

/// `planned` as it is once the source of all its trees is known.
fn looked_at(planned: &Planned, whole: &Planned, made: &Made) -> Planned {
    let is_control = |cell: &&Cell| matches!(cell.arm, Arm::Control(_));
    let all: Vec<Cell> = whole.cells.iter().filter(is_control).cloned().collect();
    let misplaced: BTreeSet<String> = made.misplaced.iter().map(|at| at.get(&all).id()).collect();
    let mut planned = planned.clone();
    let mut kept: Vec<Cell> = Vec::new();
    for cell in &planned.cells {
        if planned.sources.trees.iter().all(|tree| tree.name != cell.tree) {
            planned.sources.trees.push(TreeReport {
                name: cell.tree.clone(),
                version: "7.2.12".to_owned(),
                origin: "a test".to_owned(),
                undone: None,
                patch: PatchReport::default(),
                versions: BTreeMap::new(),
                sensitive: Vec::new(),
            });
        }
        for version in std::iter::once(None).chain(planned.beside.versions_on(&cell.tree).iter().map(Some)) {
            let under = (cell.tree.clone(), (cell.variant.id(), version.cloned()));
            let chosen = planned.sources.controls.entry(under).or_default();
            let Arm::Control(control) = &cell.arm else { continue };
            if control.on.as_ref() != version {
                continue;
            }
            if misplaced.contains(&cell.id()) {
                chosen.left_out.push((control.clone(), "no place".to_owned()));
            } else if chosen.controls.len() < made.most_controls {
                chosen.controls.push(control.clone());
                kept.push(cell.clone());
            }
        }
        if !matches!(cell.arm, Arm::Control(_)) {
            kept.push(cell.clone());
        }
    }
    planned.cells = kept;
    planned
}

fn evidence(cell: &Cell, fates: &[u8], whole: &Planned) -> Evidence {
    let at = whole.cells.iter().position(|other| other.id() == cell.id()).unwrap();
    let error = |message: &str| CompileError {
        message: message.to_owned(),
        file: Some("mm/mmu_gather.c".to_owned()),
        line: Some(1),
        touched_by_patch: true,
    };
    let built = || Build::Built(Default::default());
    let (build, boot) = match fates[at % fates.len()] % 6 {
        0 => (Build::NotRun, Boot::NotRun),
        1 => (Build::CompileError(error("stand-in")), Boot::NotRun),
        2 => (Build::Infra { why: format!("trouble of {at}") }, Boot::NotRun),
        3 => (built(), Boot::Infra { why: format!("no QEMU for {at}") }),
        _ => (built(), Boot::NotRun),
    };
    Evidence { build, boot, build_secs: Some(1.0), ..Evidence::default() }
}

fn placed(whole: &Planned, made: &Made) -> BTreeMap<JudgedPair, usize> {
    let ids = whole.cells.iter().map(Cell::id);
    let secs: BTreeMap<String, f64> = ids.zip(made.secs.iter().map(|secs| f64::from(*secs))).collect();
    divide(&whole.cells, made.of, &secs)
}

fn part(number: usize, whole: &Planned, made: &Made, placed: &BTreeMap<JudgedPair, usize>) -> PartRun {
    let divided = DividedPlan {
        partition: Partition { number, of: made.of },
        placed: placed.clone(),
        whole: whole.cells.clone(),
    };
    let own = Planned { cells: divided.cells(), part: Some(divided.planned()), ..whole.clone() };
    let planned = looked_at(&own, whole, made);
    let evidence = planned.cells.iter().map(|cell| evidence(cell, &made.fates, whole)).collect();
    let course = Course { interrupted: false, ..Course::default() };
    PartRun { number, planned: Some(planned), evidence, course }
}

/// Without what tells of the time.
fn report(planned: &Planned, evidence: &[Evidence], course: Course) -> Report {
    let report = planned.report(evidence, course, Path::new("no/such/run"));
    Report { wall_secs: 0.0, fetch_secs: 0.0, guests_secs: 0.0, ..report }
}

fn text(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn joined_parts_are_the_whole(made in made()) {
        let whole = whole(&made);
        let placed = placed(&whole, &made);
        let parts: Vec<PartRun> = (1..=made.of).map(|number| part(number, &whole, &made, &placed)).collect();
        let joined = join(&whole, &placed, &parts);
        let once = looked_at(&whole, &whole, &made);
        let all: Vec<Evidence> = once.cells.iter().map(|cell| evidence(cell, &made.fates, &whole)).collect();
        let course = Course { interrupted: false, ..Course::default() };
        prop_assert_eq!(
            text(&report(&joined.planned, &joined.evidence, joined.course.clone())),
            text(&report(&once, &all, course))
        );
        prop_assert_eq!(serde_json::to_string(&joined.planned).unwrap(), serde_json::to_string(&once).unwrap());
        prop_assert!(joined.from.iter().all(Option::is_some));
    }

    #[test]
    fn verdicts_of_a_part_are_those_of_the_whole(made in made()) {
        let whole = whole(&made);
        let placed = placed(&whole, &made);
        let once = looked_at(&whole, &whole, &made);
        let all: Vec<Evidence> = once.cells.iter().map(|cell| evidence(cell, &made.fates, &whole)).collect();
        let course = || Course { interrupted: false, ..Course::default() };
        let once = report(&once, &all, course());
        let mut pairs = 0;
        for number in 1..=made.of {
            let part = part(number, &whole, &made, &placed);
            let here = report(part.planned.as_ref().unwrap(), &part.evidence, course());
            pairs += here.pairs.len();
            for pair in &here.pairs {
                let same = once.pairs.iter().find(|other| other.name() == pair.name() && other.arm == pair.arm);
                let same = same.unwrap();
                prop_assert_eq!((pair.verdict, &pair.reasons), (same.verdict, &same.reasons));
            }
        }
        prop_assert_eq!(pairs, once.pairs.len());
    }

    #[test]
    fn missing_part_is_not_run_and_changes_no_other_verdict(made in made(), missing in any::<Index>()) {
        let whole = whole(&made);
        let placed = placed(&whole, &made);
        let mut parts: Vec<PartRun> = (1..=made.of).map(|number| part(number, &whole, &made, &placed)).collect();
        let complete = join(&whole, &placed, &parts);
        let complete = report(&complete.planned, &complete.evidence, complete.course);
        let gone = parts.remove(missing.index(parts.len())).number;
        let joined = join(&whole, &placed, &parts);
        let joined = report(&joined.planned, &joined.evidence, joined.course);
        prop_assert_eq!(joined.pairs.len(), complete.pairs.len());
        for (pair, before) in joined.pairs.iter().zip(&complete.pairs) {
            prop_assert_eq!((pair.name(), &pair.arm), (before.name(), &before.arm));
            let id = format!("{}/{}/{}", pair.tree, pair.arch, pair.variant);
            let version = (!pair.is_main()).then(|| pair.arm.clone());
            if placed[&JudgedPair { pair: id, version }] == gone {
                prop_assert_eq!(pair.verdict, Verdict::Infra);
                prop_assert!(pair.reasons.iter().any(|why| why.contains("not run")), "{:?}", pair.reasons);
            } else {
                prop_assert_eq!((pair.verdict, &pair.reasons), (before.verdict, &before.reasons));
            }
        }
    }

    #[test]
    fn each_cell_is_in_one_part_and_pairs_stay_together(made in made()) {
        let whole = whole(&made);
        let placed = placed(&whole, &made);
        prop_assert_eq!(&placed, &self::placed(&whole, &made));
        let parts: Vec<Vec<Cell>> = (1..=made.of).map(|number| cells_of(&whole.cells, &placed, number)).collect();
        for cell in &whole.cells {
            let there = parts.iter().filter(|part| part.iter().any(|other| other.id() == cell.id())).count();
            if cell.arm == Arm::Base { prop_assert!(there >= 1) } else { prop_assert_eq!(there, 1) }
        }
        for part in &parts {
            let has_base = |cell: &Cell| part.iter().any(|other| other.arm == Arm::Base && other.pair_id() == cell.pair_id());
            prop_assert!(part.iter().all(has_base));
        }
    }
}

#[test]
fn kernels_are_divided_evenly_where_no_time_is_known() {
    let made = Made {
        versions: 0,
        most_controls: 2,
        of: 3,
        misplaced: Vec::new(),
        fates: vec![0],
        secs: Vec::new(),
    };
    let cells = plan::first_controls(whole(&made).cells, made.most_controls);
    let placed = divide(&cells, 3, &BTreeMap::new());
    let sizes: Vec<usize> = (1..=3).map(|number| cells_of(&cells, &placed, number).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), cells.len());
    let (most, least) = (sizes.iter().max().unwrap(), sizes.iter().min().unwrap());
    assert!(most - least <= 1, "{sizes:?}");
}

#[test]
fn base_of_several_parts_is_the_one_that_ran_best() {
    let made = Made {
        versions: 1,
        most_controls: 0,
        of: 2,
        misplaced: Vec::new(),
        fates: vec![4],
        secs: Vec::new(),
    };
    let mut whole = whole(&made);
    // One variant: the patch is in one part, and its version in the other, each with the base.
    let only = whole.cells[0].pair_id();
    whole.cells.retain(|cell| cell.pair_id() == only);
    let placed = placed(&whole, &made);
    let mut parts: Vec<PartRun> = (1..=2).map(|number| part(number, &whole, &made, &placed)).collect();
    let base = |part: &PartRun| {
        part.planned.as_ref().unwrap().cells.iter().position(|cell| cell.arm == Arm::Base).unwrap()
    };
    let at = base(&parts[0]);
    parts[0].evidence[at].build = Build::Infra { why: "the node died".to_owned() };
    let joined = join(&whole, &placed, &parts);
    let at = joined.planned.cells.iter().position(|cell| cell.arm == Arm::Base).unwrap();
    assert!(joined.evidence[at].built().is_some());
    assert_eq!(joined.from[at], Some(2));
}

#[test]
fn part_judges_all_but_what_is_elsewhere() {
    let elsewhere = vec![JudgedPair { pair: "7.2/x86_64/v".to_owned(), version: Some("v1".to_owned()) }];
    let part = PlannedPart { partition: Partition { number: 1, of: 2 }, elsewhere };
    assert!(part.judges("7.2/x86_64/v".to_owned(), None));
    assert!(!part.judges("7.2/x86_64/v".to_owned(), Some("v1")));
}
