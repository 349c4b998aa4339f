//! `cargo xtask cache`: what is kept of earlier builds and boots, and getting rid of it.

use std::path::PathBuf;

use crate::cache::{Cache, LIMIT_BYTES, Usage};
use crate::campaign::project::LANES;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::disk;
use crate::host::terminal;
use crate::source::{self, lane, worktree};
use failure::{Exit, Result, escape};

/// Shows what the cache and the lanes hold; with `--clean`, after emptying them.
///
/// # Errors
/// When a lane cannot be removed, or another run uses its tree. What of the cache cannot be removed is still shown.
pub fn cache(project: &Project, args: &cli::CacheArgs) -> Result<Exit> {
    let cache = Cache::new(project.cache());
    let homes = source::homes(&project.work());
    if args.clean {
        terminal::print_line(&format!("removed {} entries", cache.shrink(0)))?;
        for home in &homes {
            let _tree = worktree::lock(home, &|what| terminal::say(&escape::line(what)))?;
            disk::discard(&home.join(LANES))?;
        }
        disk::discard(&project.ccache())?;
    }
    let Usage { kernels, kernel_bytes, boots, boot_bytes } = cache.usage();
    let lanes: Vec<_> = homes.iter().flat_map(|home| disk::entries(&home.join(LANES))).collect();
    let objects = |lane: &PathBuf| disk::bytes(&lane::objects_in(lane));
    let line =
        |what: &str, number: usize, bytes: u64| format!("{what:8} {number:>6}  {:>8} MiB", bytes >> 20);
    for text in [
        line("kernels", kernels, kernel_bytes),
        line("boots", boots, boot_bytes),
        line("lanes", lanes.len(), lanes.iter().map(objects).sum()),
        format!("at {}, and beside the source of each tree", project.cache().display()),
        format!(
            "each run leaves no more than {} MiB of the kernels and boots that were used last",
            LIMIT_BYTES >> 20
        ),
    ] {
        terminal::print_line(&text)?;
    }
    Ok(Exit::Ok)
}
