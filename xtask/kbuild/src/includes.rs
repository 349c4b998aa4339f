//! Which .c files include a header: an index of the `#include` lines of the tree, made once when it is needed first.
//! Include paths of single directories (`-I`) are not read from the Makefiles: a name that nothing else matches counts
//! where it ends like the header's path.

use std::collections::{BTreeMap, HashMap, HashSet};

use memchr::memmem;

use crate::file::{self, TreeFiles};
use crate::sources::{self, SOURCE_BYTES};

/// Bytes of a header that are looked at. Tables of registers have megabytes, and include nothing.
const HEADER_BYTES: u64 = 128 << 10;
/// A .c file that compiles a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Includer {
    pub file: String,
    /// Headers between the two, the nearest to the .c file first; empty if it includes the header itself.
    pub through: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Includes {
    srcarch: String,
    /// By the last part of the name in the `#include` line.
    lines: HashMap<String, Vec<IncludeLine>>,
    files: HashSet<String>,
}

#[derive(Debug)]
struct IncludeLine {
    from: String,
    name: String,
    quoted: bool,
}

impl Includes {
    /// Reads the tree, of architectures only `srcarch`.
    pub fn read(files: &TreeFiles, srcarch: &str) -> Self {
        let mut includes =
            Includes { srcarch: srcarch.to_string(), lines: HashMap::new(), files: HashSet::new() };
        for path in sources::of(files, srcarch) {
            includes.file(files, path);
        }
        includes
    }

    fn file(&mut self, files: &TreeFiles, path: String) {
        let limit = if path.ends_with(".h") { HEADER_BYTES } else { SOURCE_BYTES };
        let Some(bytes) = files.bytes(&path, limit) else { return };
        for at in memmem::find_iter(&bytes, b"include") {
            let Some((name, quoted)) = include_line(&bytes, at) else { continue };
            let last = name.rsplit('/').next().unwrap_or_default().to_string();
            self.lines.entry(last).or_default().push(IncludeLine { from: path.clone(), name, quoted });
        }
        self.files.insert(path);
    }

    /// At most `limit` .c files: those that include it themselves first, then the nearest directories.
    pub fn of(&self, header: &str, limit: usize) -> Vec<Includer> {
        let mut found = Vec::new();
        let mut seen: HashSet<String> = HashSet::from([header.to_string()]);
        let mut ring: BTreeMap<String, Vec<String>> = BTreeMap::from([(header.to_string(), Vec::new())]);
        while !ring.is_empty() && found.len() < limit {
            let mut next = BTreeMap::new();
            let mut direct = Vec::new();
            for (header, through) in &ring {
                for file in self.direct(header) {
                    if !seen.insert(file.clone()) {
                        continue;
                    }
                    if file.ends_with(".c") {
                        direct.push(Includer { file, through: through.clone() });
                    } else {
                        let through = [std::slice::from_ref(&file), through.as_slice()].concat();
                        next.insert(file, through);
                    }
                }
            }
            direct.sort_by_cached_key(|found| (distance(header, &found.file), found.file.clone()));
            found.extend(direct);
            ring = next;
        }
        found.truncate(limit);
        found
    }

    /// Files with an `#include` of exactly this one.
    fn direct(&self, header: &str) -> Vec<String> {
        let last = header.rsplit('/').next().unwrap_or_default();
        let names = self.searched_names(header);
        let lines = self.lines.get(last).map_or(&[][..], Vec::as_slice);
        lines
            .iter()
            .filter(|line| self.is_meant(line, header, &names))
            .map(|line| line.from.clone())
            .collect()
    }

    fn is_meant(&self, line: &IncludeLine, header: &str, names: &[String]) -> bool {
        let local = file::inside(&file::join(file::folder(&line.from), &line.name));
        if line.quoted {
            match local {
                Some(local) if local == header => return true,
                Some(local) if self.files.contains(&local) => return false,
                _ => {}
            }
        }
        if names.contains(&line.name) {
            return true;
        }
        // By an include path of its directory, which is above or below the header's.
        let ends_alike = file::inside(&line.name).is_some_and(|name| header.ends_with(&format!("/{name}")));
        ends_alike
            && names.is_empty()
            && !self.files.contains(&file::join("include", &line.name))
            && distance(header, &line.from) <= 4
    }

    /// The names by which the global include path finds it.
    fn searched_names(&self, header: &str) -> Vec<String> {
        let arch = format!("arch/{}/include/", self.srcarch);
        let mut names = Vec::new();
        for top in [arch.as_str(), "include/"] {
            if let Some(name) = header.strip_prefix(top) {
                names.push(name.to_string());
                names.extend(name.strip_prefix("uapi/").map(String::from));
            }
        }
        // Kbuild wraps include/asm-generic/x.h as asm/x.h for an architecture without one.
        if let Some(name) = header.strip_prefix("include/asm-generic/") {
            if !self.files.contains(&format!("{arch}asm/{name}")) {
                names.push(format!("asm/{name}"));
            }
        }
        names
    }
}

/// The name of the `#include` line whose word `include` is at `at`.
fn include_line(bytes: &[u8], at: usize) -> Option<(String, bool)> {
    let before = bytes.get(..at)?.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t'))?;
    let after = bytes.get(at + b"include".len()..)?;
    let line = after.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let (end, quoted) = match line.first()? {
        b'<' => (b'>', false),
        b'"' => (b'"', true),
        _ => return None,
    };
    let name = line.get(1..)?.split(|byte| *byte == end).next()?;
    (*before == b'#').then(|| (String::from_utf8_lossy(name).into_owned(), quoted))
}

/// Steps between the directories of two files.
fn distance(a: &str, b: &str) -> usize {
    let parts = |path: &str| file::folder(path).split('/').map(String::from).collect::<Vec<_>>();
    let (a, b) = (parts(a), parts(b));
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    a.len() + b.len() - 2 * same
}
