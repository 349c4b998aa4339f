use super::*;
use crate::campaign::Demand;
use crate::campaign::plan::{self, Beside};
use crate::campaign::project::{Loaded, Project};

/// The cells of a normal run of the default campaign, or of all its controls.
fn cells(most_controls: usize) -> Vec<Cell> {
    let loaded = Loaded::load(&Project::here().unwrap(), "mmu-gather").unwrap();
    let beside = Beside { controls: loaded.controls.clone(), ..Beside::default() };
    plan::first_controls(plan::cells(&loaded.campaign, &beside).unwrap(), most_controls)
}

fn names(build_dirs: &[BuildDirPlan]) -> Vec<&str> {
    build_dirs.iter().map(|build_dir| build_dir.name.as_str()).collect()
}

#[test]
fn bases_come_first_and_a_long_build_dir_is_split_where_there_are_builders() {
    let all = cells(usize::MAX);
    let seven = [
        "x86_64-pt-reclaim-on.base",
        "x86_64-pt-reclaim-on.patch",
        "x86_64-pt-reclaim-off.base",
        "x86_64-rcu-table-free-off.base",
        "x86_64-pt-reclaim-off.patch",
        "x86_64-rcu-table-free-off.patch",
        "x86_64-rcu-table-free-off.patch-stub-missing",
    ];
    assert_eq!(names(&assign(&all, 1, &|_| None)), seven);
    assert_eq!(names(&assign(&all, 7, &|_| None)), seven);
    let nine = assign(&all, 9, &|_| None);
    assert_eq!(nine.len(), 9);
    assert_eq!(nine[4].name, "x86_64-pt-reclaim-off.patch");
    assert_eq!(nine[5].name, "x86_64-pt-reclaim-off.patch-3");
    assert_eq!(nine[6].name, "x86_64-pt-reclaim-off.patch-2");
    let different: std::collections::BTreeSet<_> = names(&nine).into_iter().collect();
    assert_eq!(different.len(), 9);
}

#[test]
fn a_build_dir_is_nearer_with_the_same_of_the_patch_than_with_the_same_variant() {
    let from = |other: &str| distance("x86_64-table-free-6.12.patch-3", other);
    assert_eq!(from("x86_64-table-free-6.12.patch"), 0);
    assert_eq!(from("x86_64-table-free-6.12.patch-stub-missing"), 0);
    assert_eq!(from("x86_64-other.patch-2"), 1);
    assert_eq!(from("x86_64-table-free-6.12.base"), 2);
    assert_eq!(from("x86_64-other.base"), 3);
}

#[test]
fn most_demanded_is_booted_first_and_arms_of_a_variant_in_sequence() {
    let cells = cells(2);
    let mut order: Vec<usize> = (0..cells.len()).collect();
    let ranks = boot_ranks(&cells);
    order.sort_by_key(|index| ranks[*index]);
    let first: Vec<String> = order.iter().take(6).map(|index| cells[*index].id()).collect();
    let arms = |variant: &str| ["base", "patched"].map(|arm| format!("7.2/x86_64/{variant}/{arm}"));
    let expected = ["pt-reclaim-off", "pt-reclaim-on", "rcu-table-free-off"].map(arms).concat();
    assert_eq!(first, expected);
}

#[test]
fn of_two_suites_of_as_many_tests_the_one_with_more_to_show_is_booted_first() {
    let mut pair = cells(2);
    pair.truncate(2);
    for (cell, failures) in pair.iter_mut().zip([30, 200]) {
        cell.scenarios.truncate(1);
        cell.scenarios[0].demand = Demand::Failures(failures);
    }
    assert_eq!(boot_ranks(&pair), [1, 0]);
}

#[test]
fn cores_are_split_among_the_build_dirs() {
    assert_eq!(
        [(2, 7), (8, 7), (64, 7), (64, 100), (64, 0)].map(|(jobs, build_dirs)| jobs_each(jobs, build_dirs)),
        [2, 2, 9, 2, 64]
    );
}

#[test]
fn one_job_is_one_thing_at_a_time() {
    assert_eq!((builders(1), booters(1), jobs_each(1, 7)), (1, 0, 1));
    assert_eq!((builders(2), booters(2), jobs_each(2, 7)), (2, 1, 2));
}

#[test]
fn guests_share_the_tests_of_a_cell_where_cores_would_be_idle_and_there_are_enough_tests() {
    assert_eq!([1, 2, 9].map(|cells| guests_each(2, cells, 20)), [2, 1, 1]);
    assert_eq!([2, 16].map(|tests| guests_each(64, 9, tests)), [1, 2]);
    assert_eq!((guests_each(1, 1, 100), guests_each(0, 0, 0)), (1, 1));
}

#[test]
fn every_cell_is_in_one_build_dir_and_in_the_order_of_the_plan() {
    for (most, builders) in [(2, 1), (2, 32), (usize::MAX, 1), (usize::MAX, 7), (usize::MAX, 32)] {
        let cells = cells(most);
        let build_dirs = assign(&cells, builders, &|_| None);
        let mut seen: Vec<usize> = build_dirs.iter().flat_map(|build_dir| build_dir.cells.clone()).collect();
        assert!(build_dirs.iter().all(|build_dir| build_dir.cells.is_sorted()));
        for build_dir in &build_dirs {
            let variant = |index: &usize| cells[*index].variant.id();
            assert!(build_dir.cells.iter().all(|index| variant(index) == variant(&build_dir.cells[0])));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..cells.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_forecast_falls_with_cores_and_ends_at_what_cannot_be_shared_out() {
    let cells = cells(2);
    let took = |index| Took {
        build_secs: if index == 0 { 100.0 } else { 6.0 },
        cold: index == 0,
        boot_secs: 2.0,
        test_secs: 8.0,
    };
    let took: Vec<Took> = (0..cells.len()).map(took).collect();
    let walls: Vec<f64> = [2, 4, 8, 16, 64].map(|cores| forecast(&cells, &took, cores, 2)).into();
    assert!(walls.is_sorted_by(|a, b| a >= b), "{walls:?}");
    // On the cores it was measured on: two builders, and one booter until all is built.
    let built = 100.0 + 3.0 * (cells.len() - 1) as f64;
    assert!(walls[0] > built && walls[0] < 100.0 + 10.0 * cells.len() as f64, "{walls:?}");
    assert!(walls[4] < 40.0 && walls[4] > 5.0 + 6.0 + 2.0 + 4.0, "{walls:?}");
    assert!(forecast(&[], &[], 2, 2).abs() < 1e-9);
}
