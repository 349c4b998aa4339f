//! Selftests of the tree (tools/testing/selftests) that are about changed files: those that the patch itself changes, and
//! those that the files' entries in MAINTAINERS name. Pure: text in, places out; what is there and builds, others find out.

use super::maintainers;

const SELFTESTS: &str = "tools/testing/selftests/";

/// A directory of selftests, and which of its programs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelftestPlace {
    /// Below tools/testing/selftests.
    pub dir: String,
    /// The name of the programs, with `*` for any letters; None: all of them, those of directories below it too.
    pub names: Option<String>,
}

/// The places about `changed`, those first that say most.
pub fn places(maintainers: &str, changed: &[&str]) -> Vec<SelftestPlace> {
    let own = changed.iter().filter_map(|path| place_of(path));
    let entries = maintainers::read(maintainers);
    let about: Vec<_> =
        entries.iter().filter(|entry| changed.iter().any(|path| entry.is_about(path))).collect();
    let named = about.iter().flat_map(|entry| entry.named()).filter_map(place_of);
    let mut found: Vec<SelftestPlace> = Vec::new();
    for place in own.chain(named) {
        if !found.contains(&place) {
            found.push(place);
        }
    }
    // Stable: one that names programs says more than one that names a directory.
    found.sort_by_key(|place| place.names.is_none());
    found
}

/// What a file of selftests, or a line of MAINTAINERS about some, stands for.
fn place_of(pattern: &str) -> Option<SelftestPlace> {
    let below = pattern.strip_prefix(SELFTESTS)?;
    let place = match below.trim_end_matches('/').rsplit_once('/') {
        _ if below.ends_with('/') => {
            SelftestPlace { dir: below.trim_end_matches('/').to_owned(), names: None }
        }
        Some((dir, "*")) => SelftestPlace { dir: dir.to_owned(), names: None },
        Some((dir, last)) if last.contains(['.', '*', '?']) => {
            let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
            SelftestPlace { dir: dir.to_owned(), names: Some(stem.to_owned()) }
        }
        _ => SelftestPlace { dir: below.to_owned(), names: None },
    };
    let is_name = !place.dir.is_empty() && !place.dir.contains(['*', '?', '.']);
    is_name.then_some(place)
}

/// Puts those programs first that are called like a changed file.
pub fn nearest_first<T>(programs: &mut [T], name: impl Fn(&T) -> String, changed: &[&str]) {
    let stems: Vec<&str> = changed
        .iter()
        .filter_map(|path| path.rsplit('/').next()?.rsplit_once('.'))
        .map(|(stem, _)| stem)
        .filter(|stem| stem.len() > 2)
        .collect();
    programs.sort_by_key(|program| !stems.iter().any(|stem| name(program).contains(stem)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAINTAINERS: &str = "GADGET\nM:\tA <a@b>\nF:\tdrivers/gadget/\nF:\ttools/testing/selftests/gadget/\nF:\t\
                               tools/testing/selftests/net/gad*\nF:\ttools/testing/selftests/mm/gadget_test.c\nF:\t\
                               tools/testing/selftests/deep/gadget\nF:\ttools/testing/selftests/*/x/\n\nKSELFTEST\nM:\tB <b@c>\nF:\t\
                               tools/testing/selftests/\n";

    fn shown(changed: &[&str]) -> Vec<String> {
        let shown = |place: SelftestPlace| format!("{} {}", place.dir, place.names.unwrap_or_default());
        places(MAINTAINERS, changed).into_iter().map(shown).map(|text| text.trim_end().to_owned()).collect()
    }

    #[test]
    fn places_are_files_patterns_and_directories_that_the_entry_names() {
        assert_eq!(shown(&["drivers/gadget/a.c"]), ["net gad*", "mm gadget_test", "gadget", "deep/gadget"]);
        assert_eq!(shown(&["mm/slub.c"]), [""; 0]);
    }

    #[test]
    fn selftest_that_the_patch_brings_is_one_and_the_whole_folder_is_none() {
        assert_eq!(shown(&["tools/testing/selftests/timers/new_test.c", "mm/slub.c"]), ["timers new_test"]);
    }

    #[test]
    fn programs_that_are_called_like_the_file_come_first() {
        let mut names = ["compaction_test", "mremap_dontunmap", "cow", "mremap_test"];
        nearest_first(&mut names, |name| (*name).to_owned(), &["mm/mremap.c", "include/linux/mm.h"]);
        assert_eq!(names, ["mremap_dontunmap", "mremap_test", "compaction_test", "cow"]);
    }
}
