//! Kernel settings that a test asks for ([`protocol::Ask::set`]), and how they were before. A setting is a file below
//! /proc or /sys that reads back what was written to it. One that this kernel does not have is left out.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files;

/// What some settings were at a moment.
#[derive(Debug)]
pub struct AsFound(BTreeMap<String, String>);

impl AsFound {
    /// To be read before the first test.
    pub fn read<'a>(settings: impl IntoIterator<Item = &'a String>) -> Result<AsFound, String> {
        let here = settings.into_iter().filter(|file| Path::new(file).exists());
        let read = here.map(|file| Ok((file.clone(), files::read(file)?.trim().to_owned())));
        read.collect::<Result<_, String>>().map(AsFound)
    }

    /// Writes back what a test has changed.
    pub fn restore(&self) -> Result<(), String> {
        self.0.iter().try_for_each(|(file, value)| files::ensure(file, value))
    }
}

/// Writes each of these values to its file. Returns the files that are there.
pub fn apply(settings: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let here = settings.iter().filter(|(file, _)| Path::new(file).exists());
    here.map(|(file, value)| files::set(file, value).map(|()| file.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_applied_where_they_exist_and_restored() {
        let dir = std::env::temp_dir().join(format!("patchproof-settings-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        files::write(file("ticks"), "3\n").unwrap();
        let wanted = [(file("ticks"), "0".to_owned()), (file("missing"), "1".to_owned())].into();
        let found = AsFound::read(BTreeMap::keys(&wanted)).unwrap();
        assert_eq!(apply(&wanted), Ok(vec![file("ticks")]));
        assert_eq!(files::read(file("ticks")).as_deref(), Ok("0"));
        found.restore().unwrap();
        assert_eq!(files::read(file("ticks")).as_deref(), Ok("3"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
