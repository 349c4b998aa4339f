//! ccache, where it is installed: what was compiled before in another build directory, or before a build directory
//! was lost, is not compiled again. It stands in front of the compiler in PATH, so that no command changes and
//! objects stay as they are.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::host::disk;
use crate::host::sandbox::{Access, View};
use failure::{Context, Result};

/// Objects of a few dozen kernels.
const LIMIT: &str = "2G";

/// With this begin the names in the environment that mean something to it alone.
pub const OWN: &str = "CCACHE_";

/// Where ccache is asked by the compiler's name, and where it keeps what it knows.
#[derive(Debug, Clone)]
pub struct Ccache {
    names: PathBuf,
    store: PathBuf,
}

impl Ccache {
    /// Makes it stand for `compilers`, with its files below `dir`; `None` where it is not installed.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn find(dir: &Path, compilers: &[String]) -> Result<Option<Ccache>> {
        let Some(program) = on_path("ccache") else { return Ok(None) };
        let ccache = Ccache { names: dir.join("names"), store: dir.join("store") };
        for dir in [&ccache.names, &ccache.store] {
            disk::create_dir(dir)?;
        }
        for compiler in compilers {
            let name = ccache.names.join(compiler);
            if std::fs::read_link(&name).is_ok_and(|found| found == program) {
                continue;
            }
            let _ = std::fs::remove_file(&name);
            symlink(&program, &name).or_infra(|| format!("make {}", name.display()))?;
        }
        Ok(Some(ccache))
    }

    /// Its files, for those who are confined.
    pub fn show(&self, view: View) -> View {
        view.show(&self.names, Path::new("ccache/names"), Access::Read).show(
            &self.store,
            Path::new("ccache/store"),
            Access::Write,
        )
    }

    /// The same command, by way of ccache; `name` says how the command knows a path.
    pub fn around(&self, command: duct::Expression, name: impl Fn(&Path) -> PathBuf) -> duct::Expression {
        let mut path = OsString::from(name(&self.names));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        // It takes what an object is made of from the list that the compiler writes for kbuild, and does not run the
        // preprocessor to find out: an object that it does not know takes 1.3 times as long otherwise.
        let command = command.env("CCACHE_DEPEND", "1");
        command.env("PATH", path).env("CCACHE_DIR", name(&self.store)).env("CCACHE_MAXSIZE", LIMIT)
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
