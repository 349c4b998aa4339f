//! Git's identity of a file's content. Pure: bytes in, hexadecimal out.

use sha1::{Digest, Sha1};

/// The shortest abbreviated id that counts as proof of a repair: 48 bits, which a search of
/// [`super::repair::MAX_CANDIDATES`] guesses cannot meet by chance.
pub const PROOF_HEX_DIGITS: usize = 12;

/// The full git blob id of `content`: SHA-1 over `blob <length>\0` and the bytes, as `git hash-object` prints it.
pub fn blob_id(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `abbreviated`, from an `index` line, names `content`; an id of only zeros names a file that is not there.
pub fn names(abbreviated: &str, content: Option<&[u8]>) -> bool {
    let zeros = abbreviated.bytes().all(|digit| digit == b'0');
    match content {
        None => zeros,
        Some(content) => !zeros && blob_id(content).starts_with(&abbreviated.to_ascii_lowercase()),
    }
}

/// As [`names`], for content whose full id is known.
pub fn is_abbreviation(abbreviated: &str, full: Option<&str>) -> bool {
    let zeros = abbreviated.bytes().all(|digit| digit == b'0');
    full.map_or(zeros, |full| !zeros && full.starts_with(&abbreviated.to_ascii_lowercase()))
}

/// Whether `abbreviated` is long enough to prove a repair.
pub fn is_proof(abbreviated: &str) -> bool {
    abbreviated.len() >= PROOF_HEX_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git_hash_object() {
        assert_eq!(blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn an_abbreviated_id_names_content_and_zeros_name_no_file() {
        assert!(names("ce013625030b", Some(b"hello\n")));
        assert!(names("CE013625030B", Some(b"hello\n")));
        assert!(!names("ce013625030b", Some(b"hello")));
        assert!(names("000000000000", None));
        assert!(!names("000000000000", Some(b"")));
        assert!(!names("ce013625030b", None));
    }
}
