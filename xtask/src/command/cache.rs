//! `cargo xtask cache`: what is kept of earlier builds and boots, and getting rid of it.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, LIMIT_BYTES, Usage};
use crate::campaign::project::BUILD_DIRS;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::disk;
use crate::host::terminal;
use crate::source::{self, build_dir, worktree};
use failure::{Exit, Result, escape};

/// Shows what the cache and the build directories hold; with `--clean`, after emptying them.
///
/// # Errors
/// When a build directory cannot be removed, or another run uses its tree. What of the cache cannot be removed is
/// still shown.
pub fn cache(project: &Project, args: &cli::CacheArgs) -> Result<Exit> {
    let cache = Cache::new(project.cache());
    let homes = source::homes(&project.work());
    if args.clean {
        terminal::print_line(&format!("removed {} entries", cache.shrink(0)))?;
        for home in &homes {
            let _tree = worktree::lock(home, &|what| terminal::say(&escape::line(what)))?;
            sets(home).iter().try_for_each(|set| disk::discard(set))?;
        }
        disk::discard(&project.ccache())?;
    }
    let Usage { kernels, kernel_bytes, boots, boot_bytes } = cache.usage();
    let build_dirs: Vec<_> =
        homes.iter().flat_map(|home| sets(home)).flat_map(|set| disk::entries(&set)).collect();
    let objects = |build_dir: &PathBuf| disk::bytes(&build_dir::objects_in(build_dir));
    let line =
        |what: &str, number: usize, bytes: u64| format!("{what:17} {number:>6}  {:>8} MiB", bytes >> 20);
    for text in [
        line("kernels", kernels, kernel_bytes),
        line("boots", boots, boot_bytes),
        line("build directories", build_dirs.len(), build_dirs.iter().map(objects).sum()),
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

/// The directories that hold the build directories of the tree in `home`: one for each run that went on at the same time.
fn sets(home: &Path) -> Vec<PathBuf> {
    let is_set =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(BUILD_DIRS));
    disk::entries(home).into_iter().filter(is_set).collect()
}
