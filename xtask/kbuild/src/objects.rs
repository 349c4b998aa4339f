//! Which objects Kbuild makes of a file, and under which condition: looked for from the file's directory upwards
//! (scripts/Makefile.build, Makefile.lib).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::KbuildTree;
use crate::expand::{Alternative, list};
use crate::expr::Expr;
use crate::file;
use crate::makefile::Makefile;

/// A composite of a composite; Kbuild knows one step.
const MAX_COMPOSITES: usize = 4;

/// An object that Kbuild makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// `fs/kernfs/dir.o`.
    pub object: String,
    /// The file that the compiler is given: the file asked for, or one that includes it.
    pub source: String,
    /// When it becomes part of the kernel, those of its directories included.
    pub condition: Expr,
}

/// MakeWords of a directory's Makefile: variable, word, condition.
type MakeWords = Vec<(String, String, Expr)>;

/// Makefiles that were read; `None` for directories without one.
pub(crate) type Makefiles = Mutex<HashMap<String, Option<Arc<MakeWords>>>>;

pub(crate) struct ObjectWalk<'t> {
    pub tree: &'t KbuildTree,
}

impl ObjectWalk<'_> {
    /// The object of a .c or .S file that a Makefile names.
    pub fn object(&self, path: &str) -> Option<Compiled> {
        let stem = path.strip_suffix(".c").or_else(|| path.strip_suffix(".S"))?;
        let object = format!("{stem}.o");
        let condition = match self.named(&object, file::folder(path)) {
            Expr::Const(false) => self.named_by_sibling(&object),
            condition => condition,
        };
        let source = path.to_string();
        (condition != Expr::Const(false)).then_some(Compiled { object, source, condition })
    }

    /// When `path` (an object, or a directory with its slash) is built by a Makefile of `from` or above.
    fn named(&self, path: &str, from: &str) -> Expr {
        Expr::or(folders_up(from).into_iter().map(|folder| self.named_by(path, folder)))
    }

    /// When it is built by a Makefile of exactly this directory.
    fn named_by(&self, path: &str, folder: &str) -> Expr {
        let Some(words) = self.words(folder) else { return Expr::Const(false) };
        match linked(&words, folder, path, 0) {
            Expr::Const(false) => Expr::Const(false),
            here => Expr::and([self.entered(folder), here]),
        }
    }

    /// When a directory next to one of its own names it: amdgpu builds `../display/…`.
    fn named_by_sibling(&self, path: &str) -> Expr {
        let mut ways = Vec::new();
        for folder in folders_up(file::folder(path)) {
            // Higher up are whole subsystems, which do not do that.
            if folder.split('/').count() < 3 {
                break;
            }
            let siblings = self.tree.files.folders(folder);
            let siblings = siblings.iter().filter(|sibling| !path.starts_with(&format!("{sibling}/")));
            let siblings = siblings.filter(|sibling| self.leaves(sibling));
            ways.extend(siblings.map(|sibling| self.named_by(path, sibling)));
        }
        // virt/kvm is built by each architecture's KVM.
        if path.starts_with("virt/") {
            let virt = path.split('/').nth(1).unwrap_or_default();
            ways.push(self.named_by(path, &format!("arch/{}/{virt}", self.tree.srcarch)));
        }
        Expr::or(ways)
    }

    /// Its Makefile names files outside of it.
    fn leaves(&self, folder: &str) -> bool {
        let names = [file::join(folder, "Kbuild"), file::join(folder, "Makefile")];
        let text = names.iter().find_map(|name| self.tree.files.text(name));
        text.is_some_and(|text| text.contains(".."))
    }

    /// When Kbuild enters a directory.
    fn entered(&self, folder: &str) -> Expr {
        if folder.is_empty() {
            return Expr::Const(true);
        }
        self.named(&format!("{folder}/"), file::folder(folder))
    }

    fn words(&self, folder: &str) -> Option<Arc<MakeWords>> {
        let lock = || self.tree.makefiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(folder) {
            return known.clone();
        }
        let words = self.read(folder).map(Arc::new);
        lock().insert(folder.to_string(), words.clone());
        words
    }

    fn read(&self, folder: &str) -> Option<MakeWords> {
        let tree = self.tree;
        let mut makefile = Makefile::new(&tree.files, &tree.kconfig, &tree.srcarch, folder);
        if folder.is_empty() {
            // The top Makefile includes the architecture's.
            makefile.only_symbols = true;
            makefile.read("Kbuild");
            makefile.read("Makefile");
            makefile.read(&format!("arch/{}/Makefile", tree.srcarch));
            return Some(words(&makefile));
        }
        let found =
            makefile.read(&file::join(folder, "Kbuild")) || makefile.read(&file::join(folder, "Makefile"));
        found.then(|| words(&makefile))
    }
}

/// Every word of every variable that makes objects.
fn words(makefile: &Makefile<'_>) -> MakeWords {
    let mut words = Vec::new();
    for assignment in &makefile.assignments {
        for name in assignment.names.iter().filter(|name| name.is_known() && makes_objects(&name.text)) {
            let Alternative { text, condition } = name;
            let guard = Expr::and([assignment.guard.clone(), condition.clone()]);
            for (word, condition) in list(makefile, &assignment.value, 0) {
                let condition = Expr::and([guard.clone(), condition]);
                if let (Some(word), false) = (normal(makefile, text, &word), condition == Expr::Const(false))
                {
                    words.push((text.clone(), word, condition));
                }
            }
        }
    }
    words
}

fn makes_objects(name: &str) -> bool {
    name.ends_with("-y") || name.ends_with("-objs")
}

/// A word's path in the tree; directories end with a slash, and a library stands for its directory.
fn normal(makefile: &Makefile<'_>, name: &str, word: &str) -> Option<String> {
    let path = file::inside(&file::join(&makefile.folder, word))?;
    Some(match path.strip_suffix("lib.a") {
        Some(library) if library.ends_with('/') => library.to_string(),
        _ if word.ends_with('/') || name == "subdir-y" => format!("{path}/"),
        _ => path,
    })
}

/// When the Makefile of `folder` links `target`, directly or as part of a composite.
fn linked(words: &MakeWords, folder: &str, target: &str, depth: usize) -> Expr {
    let mut ways = Vec::new();
    for (name, _, condition) in words.iter().filter(|(_, word, _)| word == target) {
        let linked = match name.as_str() {
            "obj-y" | "lib-y" | "extra-y" | "always-y" | "subdir-y" | "head-y" | "core-y" | "libs-y"
            | "drivers-y" | "net-y" | "virt-y" | "init-y" => Expr::Const(true),
            name if depth < MAX_COMPOSITES => {
                let stem = name.strip_suffix("-y").or_else(|| name.strip_suffix("-objs")).unwrap_or(name);
                let composite = file::join(folder, &format!("{stem}.o"));
                // An object of its own name is in no composite.
                if composite == target { continue } else { linked(words, folder, &composite, depth + 1) }
            }
            _ => Expr::Const(false),
        };
        ways.push(Expr::and([condition.clone(), linked]));
    }
    Expr::or(ways)
}

/// A directory and those above it, the top as the last.
fn folders_up(folder: &str) -> Vec<&str> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.last().filter(|folder| !folder.is_empty()) {
        folders.push(file::folder(folder));
    }
    folders
}
