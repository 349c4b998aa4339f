//! Seals what the harness keeps between runs, so that nothing else can write it: a message authentication code under a key
//! of this user, which lies where no build and no guest can see it. Knows bytes and names; keeps nothing itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hmac::{Hmac, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;

use crate::host::disk;
use failure::{Context, Failure, Result};

const KEY_BYTES: usize = 32;

/// Of a code in hex, and the line's end.
const LINE_BYTES: usize = 65;

/// `content`, which is kept under `name`, with its code in a line before it.
///
/// # Errors
/// When there is no key and none can be made.
pub fn seal(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = disk::hex(&code(key()?, name, content).finalize().into_bytes()).into_bytes();
    sealed.push(b'\n');
    sealed.extend_from_slice(content);
    Ok(sealed)
}

/// The content of what [`seal`] made for `name`; None for anything else.
///
/// # Errors
/// When there is no key and none can be made.
pub fn open<'s>(name: &str, sealed: &'s [u8]) -> Result<Option<&'s [u8]>> {
    let Some((line, content)) = sealed.split_at_checked(LINE_BYTES) else { return Ok(None) };
    let Some(found) = line.strip_suffix(b"\n").and_then(unhex) else { return Ok(None) };
    Ok(code(key()?, name, content).verify_slice(&found).is_ok().then_some(content))
}

fn code(key: &[u8; KEY_BYTES], name: &str, content: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::unwrap_used, reason = "HMAC takes a key of any length")]
    let mut code = Hmac::<Sha256>::new_from_slice(key).unwrap();
    code.update(&(name.len() as u64).to_le_bytes());
    code.update(name.as_bytes());
    code.update(content);
    code
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

fn key() -> Result<&'static [u8; KEY_BYTES]> {
    static KEY: OnceLock<Result<[u8; KEY_BYTES]>> = OnceLock::new();
    KEY.get_or_init(|| read_or_make(&key_file()?)).as_ref().map_err(Failure::clone)
}

/// `$XDG_STATE_HOME/patchproof/seal.key`, by default below `~/.local/state`.
fn key_file() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::infra("there is no place for the key that seals the cache")
            .because("neither XDG_STATE_HOME nor HOME names a directory")
            .next("let XDG_STATE_HOME name one that only you can write")
    })?;
    Ok(state.join("patchproof/seal.key"))
}

fn read_or_make(file: &Path) -> Result<[u8; KEY_BYTES]> {
    let doing = || format!("keep the key that seals the cache in {}", file.display());
    if let Some(key) = read(file) {
        return Ok(key);
    }
    let dir = file.parent().unwrap_or(Path::new("."));
    disk::create_dir(dir)?;
    let mut key = [0; KEY_BYTES];
    random(&mut key).or_infra(doing)?;
    // Whole or not at all, and for this user alone.
    let mut aside = tempfile::Builder::new().prefix(".seal-").tempfile_in(dir).or_infra(doing)?;
    aside.write_all(&key).and_then(|()| aside.as_file().sync_all()).or_infra(doing)?;
    if std::fs::metadata(file).is_ok() {
        // One that is cut off is of no use.
        aside.persist(file).or_infra(doing)?;
    } else if let Err(error) = aside.persist_noclobber(file)
        && error.error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).or_infra(doing);
    }
    // The first of several runs decides.
    read(file).ok_or_else(|| Failure::infra(format!("could not {}", doing())))
}

/// Fills `bytes` with random ones of the kernel's.
///
/// # Errors
/// When the kernel has none.
pub fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(())
}

fn read(file: &Path) -> Option<[u8; KEY_BYTES]> {
    std::fs::read(file).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_own_name_and_unchanged_only() {
        let sealed = seal("kernel a", b"content").unwrap();
        assert_eq!(open("kernel a", &sealed).unwrap(), Some(b"content".as_slice()));
        assert_eq!(open("kernel b", &sealed).unwrap(), None);
        for at in [0, LINE_BYTES - 1, LINE_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open("kernel a", &changed).unwrap(), None, "byte {at}");
        }
        for cut in [b"".as_slice(), b"\n", &sealed[..LINE_BYTES - 1], "é\n".as_bytes()] {
            assert_eq!(open("kernel a", cut).unwrap(), None);
        }
        assert_eq!(open("kernel a", &[b'x'; 200]).unwrap(), None);
    }

    #[test]
    fn a_key_is_made_once_for_this_user_alone_and_again_when_it_is_cut_off() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/seal.key");
        let key = read_or_make(&file).unwrap();
        assert_eq!(read_or_make(&file).unwrap(), key);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "cut").unwrap();
        let again = read_or_make(&file).unwrap();
        assert_ne!(again, key);
        assert_eq!(read_or_make(&file).unwrap(), again);
    }
}
