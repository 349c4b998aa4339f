//! `--dry-run` and `--write-campaign` of a plan that is derived from the patch: derives it, and builds and boots nothing.

use std::path::Path;
use std::time::Instant;

use super::cli::MatrixArgs;
use super::dry_run;
use super::setting::{Outline, Setting};
use crate::campaign;
use crate::campaign::Variant;
use crate::campaign::project::Project;
use crate::host::disk::write_whole;
use crate::host::input;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

/// What stands before the variants in a file of a campaign.
const VARIANTS: &str = "\nvariants:\n";

/// Derives the plan and shows it, or writes it as a campaign.
///
/// # Errors
/// When the source cannot be had, the patch does not apply, or the file cannot be written.
pub fn show(project: &Project, args: &MatrixArgs, outline: Outline, started: Instant) -> Result<Exit> {
    // A plan has no run, and deriving one leaves nothing that is to be kept.
    let aside = tempfile::tempdir_in(project.work()).or_infra(|| "make a directory aside".to_owned())?;
    let out = aside.path().join("run");
    let mut setting = Setting::open(project, &args.plan, outline, Some(&out), started)?;
    super::shown(args.pace.loudness(), |events| setting.derive(&events))?;
    if let Some(path) = &args.write_campaign {
        let text = written(project, &setting)?;
        write_whole(path, text.as_bytes())?;
        terminal::say(&format!(
            "written: {}; edit it, and run it with --campaign {} --patch FILE",
            path.display(),
            path.display()
        ));
    }
    if args.dry_run {
        let Setting { loaded, local, planned, .. } = &setting;
        let jobs = args.pace.jobs();
        terminal::print(&dry_run::render(project, loaded, local, &planned.cells, jobs)?)?;
    }
    Ok(Exit::Ok)
}

/// The file of the campaign that the plan was derived for, with the variants that were derived.
fn written(project: &Project, setting: &Setting<'_>) -> Result<String> {
    let path = campaign::file_of(&project.root.join("configs"), &setting.loaded.campaign.name);
    let text = input::CONFIG.read_text(&path)?;
    with_variants(&text, &setting.loaded.campaign.variants, &path)
}

fn with_variants(text: &str, variants: &[Variant], path: &Path) -> Result<String> {
    let Some((before, _)) = text.split_once(VARIANTS) else {
        return Err(Failure::internal(format!("{}: has no variants", path.display())));
    };
    // What was derived is asked for by name from now on.
    let fixed: Vec<Variant> = variants
        .iter()
        .cloned()
        .map(|mut variant| {
            variant.symbols.extend(std::mem::take(&mut variant.derived));
            variant
        })
        .collect();
    Ok(format!("{before}{VARIANTS}{}", crate::host::yaml::render(&fixed)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Campaign;

    #[test]
    fn campaign_with_derived_variants_is_read_again_as_it_was_derived() {
        let project = Project::here().unwrap();
        let configs = project.root.join("configs");
        let mut campaign = Campaign::load(&configs, campaign::ANY).unwrap();
        campaign.variants[0].derived.insert("KCM".to_owned(), "y".to_owned());
        campaign.variants[0].counted = vec!["net/kcm/kcmsock.o".to_owned()];
        let path = campaign::file_of(&configs, campaign::ANY);
        let text =
            with_variants(&std::fs::read_to_string(&path).unwrap(), &campaign.variants, &path).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.yaml"), text).unwrap();
        let again = Campaign::load(dir.path(), "mine").unwrap();
        assert_eq!(again.variants[0].symbols["KCM"], "y");
        assert_eq!(again.variants[0].counted, ["net/kcm/kcmsock.o"]);
        assert_eq!(again.scenarios, campaign.scenarios);
    }
}
