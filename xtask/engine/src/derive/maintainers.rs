//! Reads MAINTAINERS: which entries a file belongs to, and which files and directories these name. Pure: text in, patterns
//! out. It reads `F:` and `X:` lines as scripts/get_maintainer.pl does; `N:` and `K:` lines it does not read.

use wildmatch::WildMatch;

/// One entry of MAINTAINERS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintainersEntry {
    pub name: String,
    /// `F:` lines.
    files: Vec<String>,
    /// `X:` lines.
    excluded: Vec<String>,
}

/// All entries that have an `F:` line, in the order of the file.
pub fn read(text: &str) -> Vec<MaintainersEntry> {
    let mut entries: Vec<MaintainersEntry> = Vec::new();
    let mut before = "";
    for line in text.lines() {
        let tag = line.split_once(':').filter(|(tag, _)| tag.len() == 1);
        match (tag, entries.last_mut()) {
            (
                Some((
                    "M" | "R" | "L" | "S" | "F" | "X" | "W" | "Q" | "B" | "C" | "P" | "T" | "N" | "K",
                    rest,
                )),
                last,
            ) => {
                // The line above the first one with a tag is the name.
                if !before.is_empty() {
                    entries.push(MaintainersEntry { name: before.to_owned(), ..MaintainersEntry::default() });
                    before = "";
                    entries.last_mut().into_iter().for_each(|entry| entry.take(line, rest));
                } else if let Some(entry) = last {
                    entry.take(line, rest);
                }
            }
            _ => before = line.trim(),
        }
    }
    entries.retain(|entry| !entry.files.is_empty());
    entries
}

impl MaintainersEntry {
    fn take(&mut self, line: &str, rest: &str) {
        let pattern = rest.trim().to_owned();
        match line.as_bytes().first() {
            Some(b'F') => self.files.push(pattern),
            Some(b'X') => self.excluded.push(pattern),
            _ => {}
        }
    }

    /// Whether it is about `path`. THE REST, which names everything, is about nothing.
    pub fn is_about(&self, path: &str) -> bool {
        let is_of = |patterns: &[String]| {
            patterns.iter().any(|pattern| !is_everything(pattern) && matches(pattern, path))
        };
        is_of(&self.files) && !is_of(&self.excluded)
    }

    /// What it names: files, directories and patterns, without what is everything.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str).filter(|pattern| !is_everything(pattern))
    }
}

/// No part of it is a name: `*`, `*/`.
fn is_everything(pattern: &str) -> bool {
    pattern.chars().all(|c| "*?/".contains(c))
}

/// Whether `pattern` names `path` or a directory above it. `*` and `?` do not stand for a slash.
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let wanted = pattern.trim_end_matches('/').split('/');
    for part in wanted {
        match parts.next() {
            Some(name) if WildMatch::new(part).matches(name) => {}
            _ => return false,
        }
    }
    // A pattern with a star is of files of this very directory, unless it ends with a slash.
    parts.next().is_none() || pattern.ends_with('/') || !pattern.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "List of maintainers\n===================\n\n\tM: *Mail* patches to\n\tF:\t*/net/*\n\nMaintainers List\n\
                        ----------------\n\nGADGETS: OLD AND NEW\nM:\tA <a@b>\nS:\tMaintained\nF:\tdrivers/gadget/\nF:\t\
                        lib/gadget*.c\nX:\tdrivers/gadget/other/\nF:\ttools/testing/selftests/gadget/\nK:\t\\bgadget\n\n\
                        TIMERS\nL:\tl@k\nF:\tkernel/time/*.c\n\nTHE REST\nF:\t*\nF:\t*/\n";

    fn about(path: &str) -> Vec<String> {
        read(TEXT).into_iter().filter(|entry| entry.is_about(path)).map(|entry| entry.name).collect()
    }

    #[test]
    fn entries_are_found_by_file_directory_and_pattern() {
        assert_eq!(about("drivers/gadget/deep/x.c"), ["GADGETS: OLD AND NEW"]);
        assert_eq!(about("lib/gadget_core.c"), ["GADGETS: OLD AND NEW"]);
        assert_eq!(about("kernel/time/timer.c"), ["TIMERS"]);
        assert_eq!(about("kernel/time/deep/timer.c"), [""; 0]);
    }

    #[test]
    fn what_is_excluded_and_what_only_the_rest_names_is_of_no_entry() {
        assert_eq!(about("drivers/gadget/other/x.c"), [""; 0]);
        assert_eq!(about("mm/slub.c"), [""; 0]);
    }

    #[test]
    fn an_entry_names_what_its_lines_name() {
        let named: Vec<String> = read(TEXT)[0].named().map(str::to_owned).collect();
        assert_eq!(named, ["drivers/gadget/", "lib/gadget*.c", "tools/testing/selftests/gadget/"]);
        assert_eq!(read(TEXT).len(), 3);
        assert_eq!(read(TEXT)[2].named().count(), 0);
    }

    #[test]
    fn lines_without_an_entry_are_passed_over() {
        assert_eq!(read("F: a/\n\n\nname\n\nM: x\nF: b/\n"), []);
        assert_eq!(read(""), []);
    }
}
