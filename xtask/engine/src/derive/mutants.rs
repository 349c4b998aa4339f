//! Bugs that are planted in the changed and executed lines of a patch that nobody prepared for, to see whether the workloads would
//! show them. All of them are in one kernel, and a word on its command line says which one is there. Chooses; builds and judges
//! nothing.

mod places;
mod text;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::campaign::plan::{Mutant, MutantKind, UnplantedKind};
use crate::subject::c_source::{self, descendants};
use failure::Result;
use places::{MutantPlace, places_in};
use text::with_bugs;

/// The kernel parameter that says which bug there is (include/linux/moduleparam.h, `core_param`); 0: none.
pub const PARAMETER: &str = "patchproof_mutant";

/// The bugs, and the files with all of them, by path.
#[derive(Debug)]
pub struct PlantedMutants {
    pub mutants: Vec<Mutant>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Of the kinds that have a place, those of which none was planted.
    pub unplanted: Vec<UnplantedKind>,
}

/// A place where a bug can be planted.
#[derive(Debug, Clone)]
struct MutantSite {
    kind: MutantKind,
    path: String,
    line: u32,
    range: Range<usize>,
    /// Of two statements, the end of the first.
    middle: usize,
    /// What was there, on one line.
    was: String,
}

/// Plants at most `most` bugs in `files`, the patched ones by path: each kind in turn, where `executed` says that a line is changed
/// and was executed. Gives the bugs, and the files with all of them.
///
/// # Errors
/// When a file cannot be parsed for want of memory.
pub fn plant(
    files: &BTreeMap<String, Vec<u8>>,
    executed: &dyn Fn(&str, u32) -> bool,
    most: usize,
) -> Result<PlantedMutants> {
    let mut sites = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".c")) {
        sites_in(path, text, &|line| executed(path, line), &mut sites)?;
    }
    let chosen = chosen(&sites, most);
    let unplanted = unplanted(&sites, &chosen);
    let mut planted = BTreeMap::new();
    let mut paths: Vec<&String> = chosen.iter().map(|site| &site.path).collect();
    paths.dedup();
    for path in paths {
        let of_file: Vec<(usize, &MutantSite)> = chosen
            .iter()
            .enumerate()
            .map(|(index, site)| (index + 1, site))
            .filter(|(_, site)| site.path == *path)
            .collect();
        let text = with_bugs(&files[path], &of_file, planted.is_empty());
        planted.insert(path.clone(), text);
    }
    let mutant = |(index, site): (usize, MutantSite)| Mutant {
        number: index + 1,
        name: format!("mutant-{}", index + 1),
        kind: site.kind,
        place: format!("{}:{}", site.path, site.line),
        was: site.was,
    };
    let mutants = chosen.into_iter().enumerate().map(mutant).collect();
    Ok(PlantedMutants { mutants, files: planted, unplanted })
}

/// Of each kind the first, then of each the second, in the order of files and lines.
fn chosen(sites: &[MutantSite], most: usize) -> Vec<MutantSite> {
    let mut by_kind: BTreeMap<MutantKind, Vec<&MutantSite>> = BTreeMap::new();
    for site in sites {
        by_kind.entry(site.kind).or_default().push(site);
    }
    let longest = by_kind.values().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| by_kind.values().filter_map(move |sites| sites.get(turn)));
    let mut chosen: Vec<MutantSite> = turns.take(most).map(|site| (*site).clone()).collect();
    chosen.sort_by(|one, other| (&one.path, one.range.start).cmp(&(&other.path, other.range.start)));
    chosen
}

/// The first place of each kind that has one and was not chosen; what tests show alike is one kind.
fn unplanted(sites: &[MutantSite], chosen: &[MutantSite]) -> Vec<UnplantedKind> {
    let mut known: Vec<MutantKind> = chosen.iter().map(|site| site.kind.class()).collect();
    let mut unplanted = Vec::new();
    for site in sites {
        let kind = site.kind.class();
        if !known.contains(&kind) {
            known.push(kind);
            let place = format!("{}:{}", site.path, site.line);
            unplanted.push(UnplantedKind { kind, place, was: site.was.clone() });
        }
    }
    unplanted
}

fn sites_in(
    path: &str,
    text: &[u8],
    executed: &dyn Fn(u32) -> bool,
    sites: &mut Vec<MutantSite>,
) -> Result<()> {
    for body in c_source::bodies(text) {
        if !(body.first..=body.last).any(executed) {
            continue;
        }
        let source = body.parse(text)?;
        for node in descendants(source.root()) {
            let line =
                body.first + u32::try_from(node.start_position().row).unwrap_or_default().saturating_sub(1);
            if !executed(line) {
                continue;
            }
            let at = |offset: usize| offset.saturating_sub(c_source::HEAD.len()) + body.bytes.start;
            for MutantPlace { kind, range, middle, shown } in places_in(&source, node) {
                let was = source.text(shown).split_whitespace().collect::<Vec<_>>().join(" ");
                let (range, middle) = (at(range.start)..at(range.end), at(middle));
                sites.push(MutantSite { kind, path: path.to_owned(), line, range, middle, was });
            }
        }
    }
    keep_apart(sites);
    Ok(())
}

/// Of pairs of statements that have one in common, only the first is kept: a bug within another has all of its place.
fn keep_apart(sites: &mut Vec<MutantSite>) {
    let mut swapped_until = (String::new(), 0);
    sites.retain(|site| {
        if site.kind != MutantKind::Swapped {
            return true;
        }
        let is_apart = site.path != swapped_until.0 || site.range.start >= swapped_until.1;
        if is_apart {
            swapped_until = (site.path.clone(), site.range.end);
        }
        is_apart
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#include <linux/fs.h>\n#ifdef X\n#include <x.h>\n#endif\n\nstatic int __printf(1, 2) f(int a)\n{\n\t\
        spin_lock(&lock);\n\tif (a && b) {\n\t\tcount++;\n\t\treturn -EINVAL;\n\t}\n\tlist_for_each(p, q) {\n\t\tdo_it(p);\n\t}\n\t\
        spin_unlock(&lock);\n\treturn 0;\n}\n";

    fn planted(executed: &[u32], most: usize) -> (Vec<Mutant>, String) {
        let files = BTreeMap::from([("fs/f.c".to_owned(), SOURCE.as_bytes().to_vec())]);
        let PlantedMutants { mutants, files, .. } =
            plant(&files, &|_, line| executed.contains(&line), most).unwrap();
        let text = files.get("fs/f.c").cloned().unwrap_or_default();
        (mutants, String::from_utf8(text).unwrap())
    }

    #[test]
    fn bugs_are_planted_in_executed_lines_alone_and_each_has_its_number() {
        let (mutants, text) = planted(&[9, 16, 17], 8);
        let found: Vec<String> =
            mutants.iter().map(|one| format!("{} {:?} {}", one.name, one.kind, one.place)).collect();
        assert_eq!(
            found,
            [
                "mutant-1 Negated fs/f.c:9",
                "mutant-2 Unreleased fs/f.c:16",
                "mutant-3 Inverted fs/f.c:17",
                "mutant-4 Refused fs/f.c:17",
            ]
        );
        let has = |part: &str| assert!(text.contains(part), "{part}: {text}");
        has("#endif\n\nstatic int __printf(1, 2) f(int a)");
        has("#include <linux/fs.h>\n#include <linux/moduleparam.h>\nint patchproof_mutant;\ncore_param(");
        has("if (patchproof_mutant == 1 ? !(a && b) : !!(a && b)) {");
        has("{ if (!(patchproof_mutant == 2)) spin_unlock(&lock); }");
        let inverted =
            "({ typeof(0) v__ = (0); patchproof_mutant == 3 ? (typeof(v__))(unsigned long)!v__ : v__; })";
        has(&format!(
            "return ({{ typeof({inverted}) v__ = ({inverted}); patchproof_mutant == 4 ? (typeof(v__))(unsigned long)-5L : v__; }});"
        ));
    }

    #[test]
    fn waits_orders_and_sleeping_allocations_are_kinds_and_bugs_within_bugs_are_whole() {
        let source = "static void g(struct x *x)\n{\n\tspin_lock(&l);\n\tp = kmalloc(8, GFP_ATOMIC);\n\tspin_unlock(&l);\n\tq = \
                      kmalloc(8, GFP_ATOMIC);\n\tuse(x->y);\n\tkfree(x);\n\tkfree(x);\n\tsynchronize_rcu();\n}\n";
        let files = BTreeMap::from([("a.c".to_owned(), source.as_bytes().to_vec())]);
        let all = plant(&files, &|_, _| true, 20).unwrap();
        let found: Vec<String> =
            all.mutants.iter().map(|one| format!("{:?} {} {}", one.kind, one.place, one.was)).collect();
        let has = |what: &str| assert!(found.iter().any(|one| one == what), "{what}: {found:#?}");
        has("Sleeps a.c:4 kmalloc(8, GFP_ATOMIC)");
        has("Swapped a.c:7 use(x->y); kfree(x);");
        has("Unwaited a.c:10 synchronize_rcu();");
        let count = |kind: &str| found.iter().filter(|one| one.starts_with(kind)).count();
        assert_eq!([count("Sleeps"), count("Swapped"), count("Unwaited")], [1, 1, 1], "{found:#?}");
        let text = String::from_utf8(all.files["a.c"].clone()).unwrap();
        let numbers = |kind: &str| {
            let of_kind = all.mutants.iter().filter(|one| format!("{:?}", one.kind) == kind);
            of_kind.map(|one| one.number).collect::<Vec<_>>()
        };
        let (swap, used) =
            (numbers("Swapped")[0], all.mutants.iter().find(|one| one.was == "use(x->y);").unwrap());
        let freed = all.mutants.iter().find(|one| one.place == "a.c:8").unwrap();
        let (one, other) = (
            format!("{{ if (!(patchproof_mutant == {})) use(x->y); }}", used.number),
            format!("{{ if (!(patchproof_mutant == {})) kfree(x); }}", freed.number),
        );
        // What stands between two statements goes with the second.
        let swapped = format!(
            "{{ if (patchproof_mutant == {swap}) {{ \n\t{other} {one} }} else {{ {one} \n\t{other} }} }}"
        );
        assert!(text.contains(&swapped), "{swapped}: {text}");
        let few = plant(&files, &|_, _| true, 2).unwrap();
        let unplanted: Vec<MutantKind> = few.unplanted.iter().map(|one| one.kind).collect();
        assert_eq!(unplanted, [MutantKind::Sleeps, MutantKind::Swapped, MutantKind::Unwaited]);
        assert!(all.unplanted.is_empty());
    }

    #[test]
    fn each_kind_has_its_turn_before_one_has_a_second() {
        let all: Vec<u32> = (1..20).collect();
        let (mutants, _) = planted(&all, 5);
        let mut kinds: Vec<MutantKind> = mutants.iter().map(|mutant| mutant.kind).collect();
        kinds.sort_unstable();
        assert_eq!(
            kinds,
            [
                MutantKind::Negated,
                MutantKind::Unreleased,
                MutantKind::Inverted,
                MutantKind::Refused,
                MutantKind::Dropped
            ]
        );
        assert!(planted(&[], 4).0.is_empty());
    }
}
