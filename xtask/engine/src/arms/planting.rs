//! Controls in the patched source of one variant and version: which files a search may look into, and what comes out.

use std::collections::BTreeMap;

use crate::source::files::Changes;
use crate::subject::c_source::{CSource, Config};
use crate::subject::control::{CSources, Control, Place, Search};
use failure::Result;
use patch::{Base, Content, Overlay, ProvedFile};

/// Plants in the source of one arm; files are parsed when they are first asked for.
pub struct Planting<'a> {
    places: &'a BTreeMap<String, Place>,
    patched: &'a Overlay<'a>,
    prepared: &'a dyn Base,
    config: Config,
    files: CSources,
    /// The changed headers without the patch.
    before: CSources,
    touched_are_read: bool,
}

/// A bug in its files.
pub struct Planted {
    pub files: Changes,
    /// As a patch on top of the arm that it is planted in.
    pub patch: String,
}

impl<'a> Planting<'a> {
    pub fn new(
        places: &'a BTreeMap<String, Place>,
        patched: &'a Overlay<'a>,
        prepared: &'a dyn Base,
        config: Config,
    ) -> Planting<'a> {
        let (files, before) = (CSources::new(), CSources::new());
        Planting { places, patched, prepared, config, files, before, touched_are_read: false }
    }

    /// The arm's files with the bug; or, in a sentence, why this version has no place for it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn plant(&mut self, control: &Control, touched: &[ProvedFile]) -> Result<Result<Planted, String>> {
        self.read_touched(touched)?;
        for name in self.related(&control.bug.at) {
            if let Some(file) = self.places.get(name).and_then(|place| place.file.clone()) {
                self.read(&file)?;
            }
        }
        let search =
            Search { places: self.places, files: &self.files, before: &self.before, config: &self.config };
        let planted = match control.bug.plant(&search) {
            Ok(planted) => planted,
            Err(why) => return Ok(Err(why)),
        };
        let mut patch = format!("{}: {}\n\n", control.name, control.plants);
        for (path, text) in &planted {
            patch += &unified(path, self.files[path].bytes(), text);
        }
        let mut files = Changes::new();
        for (path, text) in planted {
            let before = self.patched.file(&path)?;
            files.insert(path, Some(Content::in_place_of(before.as_ref(), text)));
        }
        Ok(Ok(Planted { files, patch }))
    }

    /// The place and those that it refers to.
    fn related(&self, name: &str) -> Vec<&'a str> {
        let mut names = Vec::new();
        let mut next = self.places.get_key_value(name);
        while let Some((name, place)) = next.filter(|(name, _)| !names.contains(&name.as_str())) {
            names.push(name);
            next = place
                .beside
                .as_ref()
                .or(place.callback_of.as_ref())
                .and_then(|n| self.places.get_key_value(n));
        }
        names
    }

    /// The helpers of a patch may stand in any of the files that it changes.
    fn read_touched(&mut self, touched: &[ProvedFile]) -> Result<()> {
        if std::mem::replace(&mut self.touched_are_read, true) {
            return Ok(());
        }
        for file in touched.iter().filter(|file| file.path.ends_with(".c") || file.path.ends_with(".h")) {
            self.read(&file.path)?;
            if let Some(text) = self.prepared.read(&file.path)? {
                self.before.insert(file.path.clone(), CSource::parse(&text)?);
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<()> {
        if !self.files.contains_key(path)
            && let Some(text) = self.patched.read(path)?
        {
            self.files.insert(path.to_owned(), CSource::parse(&text)?);
        }
        Ok(())
    }
}

fn unified(path: &str, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let diff = similar::TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}

/// As a helper of patched arms: a file of its own that calls each empty function that the patch adds to a header. As
/// posted nothing may call them, so that nothing would notice if one were missing.
pub const CALL_ADDED_STUBS: &str = "call-added-stubs";

/// kbuild begins in init/: what is missing ends the build at once.
const CALLER: &str = "init/patchproof_caller.c";
const CALLER_OBJECT: &str = "\nobj-y += patchproof_caller.o\n";
const MAKEFILE: &str = "init/Makefile";

/// # Errors
/// When the tree cannot be read.
pub fn call_added_stubs(patched: &mut Overlay<'_>, prepared: &dyn Base) -> Result<()> {
    let (mut includes, mut calls) = (String::new(), String::new());
    for (path, text) in &patched.changed {
        let (Some(name), Some(text)) = (as_included(path), text) else { continue };
        let before = prepared.read(path)?.map(|text| CSource::parse(&text)).transpose()?;
        let known = before.as_ref().map(CSource::declared).unwrap_or_default();
        let header = CSource::parse(&text.bytes)?;
        let added: Vec<&str> = header
            .functions()
            .into_iter()
            .filter(|function| function.is_empty() && !known.contains(&function.name))
            .filter(|function| header.text(function.range()).contains("(void)"))
            .map(|function| function.name)
            .collect();
        if !added.is_empty() {
            includes += &format!("#include <{name}>\n");
            calls.extend(added.iter().map(|name| format!("\t{name}();\n")));
        }
    }
    let Some(mut makefile) = patched.file(MAKEFILE)?.filter(|_| !calls.is_empty()) else { return Ok(()) };
    makefile.bytes.extend_from_slice(CALLER_OBJECT.as_bytes());
    let caller = format!(
        "// SPDX-License-Identifier: GPL-2.0\n/* Test only, and never run. */\n#include <linux/mm.h>\n{includes}\n\
         void patchproof_caller(void);\n\nvoid patchproof_caller(void)\n{{\n{calls}}}\n"
    );
    patched.changed.insert(MAKEFILE.to_owned(), Some(makefile));
    patched.changed.insert(CALLER.to_owned(), Some(Content::plain(caller)));
    Ok(())
}

/// By which name a header is included.
fn as_included(path: &str) -> Option<String> {
    let name = path.strip_suffix(".h")?;
    let (_, below) = format!("/{name}").split_once("/include/").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    Some(format!("{}.h", below.replacen("asm-generic/", "asm/", 1)))
}
