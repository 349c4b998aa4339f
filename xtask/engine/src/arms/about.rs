//! Whether a patch changes anything of what a campaign is about: a file, and in it a function that the campaign's own patch
//! changes or that gets there. A patch that does not is told so before anything is built.

use std::collections::BTreeSet;

use crate::campaign::DEFAULT;
use crate::campaign::project::{Loaded, Project};
use crate::campaign::{self, Campaign};
use crate::subject::c_source::CSource;
use failure::Result;
use patch::{Base, Overlay, Proved, Series};

/// In a sentence, why the patch `tested` says nothing about the campaign; none if it does.
///
/// # Errors
/// When the tree cannot be read.
pub fn beside_the_point(
    project: &Project,
    loaded: &Loaded,
    base: &Overlay<'_>,
    tested: &Proved,
) -> Result<Option<String>> {
    let campaign = &loaded.campaign;
    let mut files = files_of(project, campaign);
    files.extend(
        loaded.controls.iter().filter_map(|control| loaded.places.get(&control.bug.at)?.file.clone()),
    );
    let touched: BTreeSet<String> = tested.files.iter().map(|file| file.path.clone()).collect();
    let nothing = format!("the patch changes nothing of what campaign {} is about", campaign.name);
    if touched.is_disjoint(&files) {
        return Ok(Some(format!(
            "{nothing} ({}): it changes {}{}",
            list(&files),
            list(&touched),
            other(project, campaign, &touched)
        )));
    }
    let mut patched = Overlay::new(base);
    patched.add(tested);
    let Some(changed) = changed(&touched, base, &patched)? else { return Ok(None) };
    if changed.is_empty() {
        return Ok(Some(format!(
            "{nothing}: without comments and white space its files are those of the base"
        )));
    }
    let Some(own) = own_functions(project, loaded, base)? else { return Ok(None) };
    let reached = with_callers(&changed, &patched, &files)?;
    if reached.is_disjoint(&own) {
        return Ok(Some(format!(
            "{nothing}: it changes {} and nothing that is called from there",
            list(&changed.iter().map(|name| format!("{name}()")).collect())
        )));
    }
    Ok(None)
}

/// The functions that differ, by name. None: something outside of every function is changed, or a file that is no C, and that may have to do with anything.
fn changed(
    paths: &BTreeSet<String>,
    before: &dyn Base,
    after: &dyn Base,
) -> Result<Option<BTreeSet<String>>> {
    let mut names = BTreeSet::new();
    for path in paths {
        let (before, after) = (before.read(path)?, after.read(path)?);
        let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
        if !path.ends_with(".c") && !path.ends_with(".h") {
            return Ok(None);
        }
        let (before, after) = (CSource::parse(&before)?, CSource::parse(&after)?);
        if !before.is_whole() || !after.is_whole() {
            return Ok(None);
        }
        if before.words(before.root()) == after.words(after.root()) {
            continue;
        }
        let (old, new) = (before.words_by_function(), after.words_by_function());
        if old.outside != new.outside {
            return Ok(None);
        }
        let differs = |name: &&String| old.functions.get(*name) != new.functions.get(*name);
        names.extend(old.functions.keys().chain(new.functions.keys()).filter(differs).cloned());
    }
    Ok(Some(names))
}

/// The functions that the campaign's own patch changes here and those of its places, with their callers. None if its patch
/// does not apply here.
fn own_functions(project: &Project, loaded: &Loaded, base: &Overlay<'_>) -> Result<Option<BTreeSet<String>>> {
    let campaign = &loaded.campaign;
    let all = campaign.patch.iter().chain(campaign.backports.values());
    let proved = all
        .filter_map(|path| series(&project.root.join(path)))
        .find_map(|series| patch::prove(&series, base).ok());
    let Some(proved) = proved else { return Ok(None) };
    let mut patched = Overlay::new(base);
    patched.add(&proved);
    let mut names = BTreeSet::new();
    let files: BTreeSet<String> = proved.files.iter().map(|file| file.path.clone()).collect();
    for path in &files {
        let (Some(before), Some(after)) = (base.read(path)?, patched.read(path)?) else { continue };
        let (before, after) =
            (CSource::parse(&before)?.words_by_function(), CSource::parse(&after)?.words_by_function());
        let all = before.functions.keys().chain(after.functions.keys());
        names.extend(all.filter(|name| before.functions.get(*name) != after.functions.get(*name)).cloned());
    }
    let places = loaded.controls.iter().filter_map(|control| loaded.places.get(&control.bug.at));
    names.extend(places.filter_map(|place| place.in_function.clone().or(place.from.clone())));
    with_callers(&names, &patched, &files).map(Some)
}

/// `names`, and every function in these files that gets to one of them.
fn with_callers(
    names: &BTreeSet<String>,
    tree: &dyn Base,
    files: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".c") || path.ends_with(".h")) {
        let Some(text) = tree.read(path)? else { continue };
        let source = CSource::parse(&text)?;
        for function in source.functions() {
            let called = source.calls(function.body).into_iter();
            calls.extend(called.map(|call| (function.name.to_owned(), call.callee.to_owned())));
        }
    }
    let mut reached = names.clone();
    loop {
        let more =
            calls.iter().filter(|(caller, callee)| reached.contains(callee) && !reached.contains(caller));
        let more: Vec<String> = more.map(|(caller, _)| caller.clone()).collect();
        if more.is_empty() {
            return Ok(reached);
        }
        reached.extend(more);
    }
}

/// The files that the patches of a campaign change.
fn files_of(project: &Project, campaign: &Campaign) -> BTreeSet<String> {
    let all = campaign.patch.iter().chain(campaign.versions.values()).chain(campaign.backports.values());
    let patches = all.filter_map(|path| series(&project.root.join(path)));
    patches
        .flat_map(|series| series.patches.into_iter().flat_map(|patch| patch.files))
        .map(|file| file.path)
        .collect()
}

/// What cannot be read is no help here, and no harm.
fn series(path: &std::path::Path) -> Option<Series> {
    patch::read(&std::fs::read(path).ok()?, &path.display().to_string()).ok()
}

/// The campaign whose own patches change one of the files `touched`.
pub fn campaign_about(project: &Project, touched: &BTreeSet<String>) -> Option<String> {
    about(project, touched, |_| true).map(|(name, _)| name)
}

/// Of the `wanted` campaigns the one that is about one of the files, and that file.
fn about(
    project: &Project,
    touched: &BTreeSet<String>,
    wanted: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    let configs = project.root.join("configs");
    let mut names = campaign::campaigns_in(&configs);
    names.sort_by_key(|name| name != DEFAULT);
    names.into_iter().filter(|name| wanted(name)).find_map(|name| {
        let campaign = Campaign::load(&configs, &name).ok()?;
        let file = files_of(project, &campaign).into_iter().find(|file| touched.contains(file))?;
        Some((name, file))
    })
}

/// The campaign that is about one of the files, in words.
fn other(project: &Project, this: &Campaign, touched: &BTreeSet<String>) -> String {
    about(project, touched, |name| *name != this.name).map_or_else(String::new, |(name, file)| {
        format!("; campaign {name} is about {file}: --campaign {name}")
    })
}

fn list(names: &BTreeSet<String>) -> String {
    let mut shown: Vec<&str> = names.iter().map(String::as_str).take(4).collect();
    let more = format!("{} more", names.len() - shown.len());
    if names.len() > shown.len() {
        shown.push(&more);
    }
    shown.join(", ")
}
