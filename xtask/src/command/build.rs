//! `cargo xtask build`: plan, sources and builds of a matrix. The run's directory then has what `cargo xtask boot` needs.

use std::time::Instant;

use super::builds::{self, Builds, BuiltKernel};
use super::conclude::settled;
use super::matrix::Method;
use super::queued;
use super::setting::{Outline, Setting};
use crate::cache::{Cache, LIMIT_BYTES};
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::terminal;
use crate::observe::Evidence;
use crate::report::layout;
use failure::{Exit, Failure, Result, escape};

/// Builds the kernels of the campaign. A kernel that does not build is a result, and is in the exit code.
///
/// # Errors
/// As the matrix; and when the builds do not come to their end, of which nothing can be booted then.
pub fn build(project: &Project, args: &cli::BuildArgs) -> Result<Exit> {
    let started = Instant::now();
    let outline = Outline::find(project, &args.plan)?;
    let mut queued = queued::wait(project, &args.plan)?;
    // Not from before the wait.
    let started = if queued.is_some() { Instant::now() } else { started };
    let mut setting = Setting::open(project, &args.plan, outline, args.plan.out.as_deref(), started)?;
    if let Some(queued) = &mut queued {
        queued.describe(&setting.dir.path.display().to_string());
    }
    if let Some(exit) = setting.conclude_empty()? {
        return Ok(exit);
    }
    let method = Method { compile: &args.compile, guest: None, pace: &args.pace, inject: true };
    let gathered = super::shown(args.pace.loudness(), |events| setting.run(&method, events));
    Cache::new(project.cache()).shrink(LIMIT_BYTES);
    let wall_secs = started.elapsed().as_secs_f64();
    let (course, evidence, failed) = settled(gathered, wall_secs);
    let dir = &setting.dir.path;
    let failed = failed.or_else(|| course.interrupted.then(Failure::interrupted));
    if let Some(failure) = failed {
        if !setting.planned.sources.trees.is_empty() {
            course.write(dir)?;
        }
        return Err(super::next::to_go_on(failure).log(dir));
    }
    let cells = setting.planned.cells.iter().zip(&evidence);
    let built = Builds {
        wall_secs,
        soak_secs: args.plan.soak.unwrap_or_default().as_secs(),
        repeat_args: setting.repeat_args(),
        kernels: cells.map(|(cell, evidence)| BuiltKernel::of(cell, evidence, dir)).collect::<Result<_>>()?,
    };
    built.write(dir)?;
    let exit = setting.planned.exit_of_builds(&evidence);
    let text = said(&setting, &evidence, exit);
    terminal::print_as_it_is(&super::next::shortened(text, args.pace.loudness(), exit))?;
    Ok(exit)
}

/// What was built, what was not and why, where it is, and what comes next.
fn said(setting: &Setting<'_>, evidence: &[Evidence], exit: Exit) -> String {
    let (planned, dir) = (&setting.planned, &setting.dir.path);
    let built = evidence.iter().filter_map(Evidence::built);
    let cached = built.clone().filter(|built| built.cached).count();
    let mut lines = vec![format!(
        "built: {} of {} kernels, {cached} of them from the cache, exit code {}",
        built.count(),
        planned.cells.len(),
        exit as u8
    )];
    let besides = &planned.sources.beside_the_point;
    lines.extend(besides.iter().map(|(tree, why)| format!("{tree}: {why}")));
    for (cell, evidence) in planned.cells.iter().zip(evidence) {
        if !besides.contains_key(&cell.tree) {
            let wrong = planned.wrong_with_build(cell, evidence).into_iter();
            lines.extend(wrong.map(|why| format!("{}: {why}", cell.id())));
        }
    }
    lines.push(format!("run directory: {}", dir.display()));
    lines.push("in it: cells/ with the build.log, the config and the image of each kernel".to_owned());
    let mut lines: Vec<String> = lines.iter().flat_map(|line| layout::fold(&escape::line(line))).collect();
    // Not broken: it is copied.
    let next = format!("next: cargo xtask boot {}", builds::name(setting.project, dir));
    lines.push(escape::line(&next).into_owned());
    lines.join("\n") + "\n"
}
