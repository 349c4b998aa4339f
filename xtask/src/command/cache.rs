//! `cargo xtask cache`: what is kept of earlier builds and boots, and getting rid of it.

use crate::cache::{Cache, LIMIT_BYTES, Usage};
use crate::cli;
use crate::failure::{Exit, Result};
use crate::project::Project;

/// Shows what the cache holds; with `--clean`, after emptying it.
///
/// # Errors
/// None so far: what cannot be removed is still shown.
pub fn cache(project: &Project, args: &cli::Cache) -> Result<Exit> {
    let cache = Cache::new(project.cache());
    if args.clean {
        println!("removed {} entries", cache.shrink(0));
    }
    let Usage { kernels, kernel_bytes, boots, boot_bytes } = cache.usage();
    println!("kernels  {kernels:>6}  {:>8} MiB", kernel_bytes >> 20);
    println!("boots    {boots:>6}  {:>8} MiB", boot_bytes >> 20);
    println!("at {}", project.cache().display());
    println!("each run leaves no more than {} MiB of what was used last", LIMIT_BYTES >> 20);
    Ok(Exit::Ok)
}
