//! What the user names as patch: files, packed or not, standard input, directories, a range of commits. Says what to do
//! with what is none of these.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::host::input::{self, shown};
use crate::source::{self, Local};
use failure::{Context, Exit, Failure, Result};
use patch::Series;

/// Reads everything that `names` name, in this order, as one series. A range is one of the repository that a tree of
/// `local` is.
///
/// # Errors
/// When one cannot be read, or holds no patch.
pub fn read(names: &[PathBuf], local: &BTreeMap<String, Local>) -> Result<Series> {
    let from_input = names.iter().filter(|name| name.as_os_str() == "-").count();
    if from_input > 1 {
        return Err(Failure::usage("standard input can be read once, and `-` is there several times"));
    }
    let mut all = Vec::new();
    for name in names {
        read_one(name, local, &mut all)?;
    }
    patch::join(all).ok_or_else(|| Failure::usage("no patch is named"))
}

/// Reads one patch file of the project or of the user's.
///
/// # Errors
/// As [`read`].
pub fn file(path: &Path) -> Result<Series> {
    let name = shown(path);
    patch::read(&unpacked(input::PATCH.read(path)?, &name)?, &name)
}

fn read_one(name: &Path, local: &BTreeMap<String, Local>, all: &mut Vec<Series>) -> Result<()> {
    if name.as_os_str() == "-" {
        let name = "standard input";
        let bytes = input::PATCH.read_from(std::io::stdin().lock(), name)?;
        all.push(patch::read(&unpacked(bytes, name)?, name)?);
    } else if name.is_dir() {
        directory(name, all)?;
    } else if name.symlink_metadata().is_ok() {
        all.push(file(name)?);
    } else {
        let text = name.to_str().unwrap_or_default();
        if let Some(failure) = advice(text) {
            return Err(failure);
        }
        if !text.contains("..") || text.contains('/') && text.contains("../") {
            return Err(input::PATCH.read(name).err().unwrap_or_else(|| Failure::usage("it is there now")));
        }
        all.push(range(text, local)?);
    }
    Ok(())
}

/// How to get what is not on this machine.
fn advice(name: &str) -> Option<Failure> {
    if name.contains("://") {
        let raw = match name.contains("lore.kernel.org") && !name.ends_with("/raw") {
            true => format!("{}/raw", name.trim_end_matches('/')),
            false => name.to_owned(),
        };
        return Some(
            Failure::usage(format!("{name} is an address, and nothing is fetched here"))
                .next(format!("fetch it: curl -fLo p.mbox '{raw}', and give p.mbox"))
                .next(format!("of a whole series: b4 am '{name}'")),
        );
    }
    let id = name.trim_start_matches('<').trim_end_matches('>');
    let is_id = id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && right.contains('.'));
    (is_id && !name.contains('/') && !name.contains("..")).then(|| {
        Failure::usage(format!("{name} is the id of a mail, and nothing is fetched here"))
            .next(format!(
                "fetch it: curl -fLo p.mbox 'https://lore.kernel.org/all/{id}/raw', and give p.mbox"
            ))
            .next(format!("of a whole series: b4 am '{id}'"))
    })
}

/// The patches of a directory, in the order of their names or of quilt's file `series`.
fn directory(dir: &Path, all: &mut Vec<Series>) -> Result<()> {
    let before = all.len();
    for path in files(dir)? {
        let name = shown(&path);
        let bytes = unpacked(input::PATCH.read(&path)?, &name)?;
        match patch::read(&bytes, &name) {
            Ok(series) => all.push(series),
            Err(_) if patch::is_cover_letter(&bytes) => {}
            Err(failure) => {
                return Err(failure.next(format!("every file in {} has to be a patch", shown(dir))));
            }
        }
    }
    match all.len() > before {
        true => Ok(()),
        false => Err(Failure::usage(format!("no patch in the directory {}", shown(dir)))),
    }
}

/// Files that one directory may hold.
const FILES_MAX: usize = 10_000;

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let order = dir.join("series");
    if order.is_file() {
        let text = input::CONFIG.read_text(&order)?;
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        return Ok(names
            .filter_map(|line| line.split_whitespace().next())
            .map(|name| dir.join(name))
            .collect());
    }
    let reading = || format!("read the directory {}", shown(dir));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).or_infra(reading)? {
        let entry = entry.or_infra(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let left_over = ["~", ".orig", ".rej", ".swp"].iter().any(|end| name.ends_with(end));
        if !name.starts_with('.') && !left_over && !entry.path().is_dir() {
            files.push(entry.path());
        }
        if files.len() > FILES_MAX {
            return Err(Failure::usage(format!("more than {FILES_MAX} files in {}", shown(dir))));
        }
    }
    files.sort();
    Ok(files)
}

/// The commits of a range, as git format-patch writes them.
fn range(range: &str, local: &BTreeMap<String, Local>) -> Result<Series> {
    let repository = local.values().map(|place| match place {
        Local::Directory(dir) => dir,
        Local::Revision(revision) => &revision.dir,
    });
    let Some(dir) = repository.into_iter().next() else {
        return Err(Failure::usage(format!(
            "no patch file {range}, and no repository for it to be a range of"
        ))
        .next(
            "name the repository: --tree NAME=DIR, or NAME=DIR@REF for the commit that the range goes on",
        ));
    };
    let bytes = source::patches_of(dir, range, input::PATCH.most_bytes)?;
    patch::read(&bytes, &format!("{range} of {}", shown(dir)))
}

/// What gzip packed, unpacked.
fn unpacked(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    let others = [
        (&b"PK\x03\x04"[..], "zip", "unzip -p"),
        (b"\xfd7zXZ", "xz", "xz -dc"),
        (b"BZh", "bzip2", "bzip2 -dc"),
        (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    ];
    if let Some((_, what, tool)) = others.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        let failure = Failure::usage(format!("{name} is packed with {what}"));
        return Err(failure.next(format!("unpack it: {tool} FILE | cargo xtask patch -")));
    }
    if !bytes.starts_with(b"\x1f\x8b") {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]).take(input::PATCH.most_bytes + 1);
    reader.read_to_end(&mut out).map_err(|error| {
        let failure = Failure::usage(format!("{name}: cannot unpack it")).because(error.to_string());
        Failure { exit: Exit::PatchRejected, ..failure }
    })?;
    if out.len() as u64 > input::PATCH.most_bytes {
        return Err(Failure::rejected(format!(
            "{name}: larger than {} MiB unpacked",
            input::PATCH.most_bytes >> 20
        )));
    }
    Ok(out)
}

#[cfg(test)]
mod corpus;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn mail(number: u32) -> String {
        format!(
            "From: a@b\nSubject: [PATCH {number}/2] x\n\n---\n{}",
            DIFF.replace('x', &format!("x{number}"))
        )
    }

    fn paths(names: &[PathBuf]) -> Result<Vec<String>> {
        let series = read(names, &BTreeMap::new())?;
        Ok(series.patches.iter().flat_map(|patch| &patch.files).map(|file| file.path.clone()).collect())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn several_files_and_a_directory_are_one_series_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("0002.patch"), mail(2)).unwrap();
        std::fs::write(at("0001.patch"), mail(1)).unwrap();
        std::fs::write(at("0000-cover.patch"), "From: a@b\nSubject: [PATCH 0/2] y\n\nwhy\n").unwrap();
        std::fs::write(at("0001.patch~"), "old").unwrap();
        assert_eq!(paths(&[dir.path().to_owned()]).unwrap(), ["x1", "x2"]);
        assert_eq!(paths(&[at("0002.patch"), at("0001.patch")]).unwrap(), ["x2", "x1"]);
        let series = read(&[at("0001.patch"), at("0002.patch")], &BTreeMap::new()).unwrap();
        assert!(series.notes.is_empty(), "{:?}", series.notes);
        std::fs::write(at("series"), "# quilt\n0002.patch -p1\n").unwrap();
        assert_eq!(paths(&[dir.path().to_owned()]).unwrap(), ["x2"]);
        std::fs::write(at("series"), "README\n").unwrap();
        assert!(paths(&[dir.path().to_owned()]).is_err());
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_limit_and_others_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("p.gz");
        std::fs::write(&at, [gzip(DIFF.as_bytes()), gzip(b"\n")].concat()).unwrap();
        assert_eq!(paths(std::slice::from_ref(&at)).unwrap(), ["x"]);
        std::fs::write(&at, gzip(&vec![b'+'; 65 << 20])).unwrap();
        assert!(paths(std::slice::from_ref(&at)).unwrap_err().what.contains("larger than 64 MiB unpacked"));
        std::fs::write(&at, &gzip(DIFF.as_bytes())[..20]).unwrap();
        assert_eq!(paths(std::slice::from_ref(&at)).unwrap_err().exit, Exit::PatchRejected);
        std::fs::write(&at, b"\xfd7zXZ\0").unwrap();
        assert!(paths(&[at]).unwrap_err().to_string().contains("xz -dc"));
    }

    #[test]
    fn an_address_and_an_id_get_the_command_that_fetches_them() {
        let says = |name: &str| paths(&[PathBuf::from(name)]).unwrap_err().to_string();
        assert!(says("https://lore.kernel.org/all/1@b/").contains("'https://lore.kernel.org/all/1@b/raw'"));
        assert!(
            says("<20260224030700.35857-1-a@linux.dev>")
                .contains("all/20260224030700.35857-1-a@linux.dev/raw")
        );
        assert!(says("HEAD~3..HEAD").contains("--tree NAME=DIR"));
        assert!(says("../no/such.patch").contains("No such file"));
        assert!(
            says("no\n\u{1b}[2Jsuch.patch").contains("no\\nsuch") || says("no\n\u{1b}such").contains("\\x1b")
        );
    }

    #[test]
    fn a_range_is_what_git_format_patch_writes() {
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let own = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
            let words: Vec<&str> = own.iter().chain(args).copied().collect();
            duct::cmd("git", words).dir(dir.path()).stdout_null().run().unwrap();
        };
        git(&["init", "--quiet"]);
        for content in ["a\n", "b\n", "c\n"] {
            std::fs::write(dir.path().join("x"), content).unwrap();
            git(&["add", "x"]);
            git(&["commit", "--quiet", "--message", content]);
        }
        let local = BTreeMap::from([("t".to_owned(), Local::Directory(dir.path().to_owned()))]);
        let read = |range: &str| read(&[PathBuf::from(range)], &local);
        let series = read("HEAD~2..HEAD").unwrap();
        assert_eq!(series.patches.len(), 2);
        assert_eq!(series.patches[1].subject.as_deref(), Some("[PATCH 2/2] c"));
        assert!(read("HEAD..HEAD").unwrap_err().to_string().contains("no commit"));
        assert!(read("nope..HEAD").unwrap_err().to_string().contains("nope..HEAD"));
        assert!(read("--output=x..HEAD").is_err());
        git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
        std::fs::write(dir.path().join("y"), "y\n").unwrap();
        git(&["add", "y"]);
        git(&["commit", "--quiet", "--message", "y"]);
        git(&["merge", "--quiet", "--no-edit", "main"]);
        assert!(read("HEAD~1..HEAD").unwrap_err().to_string().contains("merge"));
    }
}
