//! What git keeps of a regular file: its bytes, and whether it may be executed. Pure.

/// A regular file of a source tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// Mode 100755, not 100644: git knows no other one of a regular file.
    pub executable: bool,
}

impl Content {
    /// A file that may not be executed.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Content {
        Content { bytes: bytes.into(), executable: false }
    }

    /// These bytes in place of those of `before`, which may not be there; its mode stays.
    pub fn in_place_of(before: Option<&Content>, bytes: Vec<u8>) -> Content {
        Content { bytes, executable: before.is_some_and(|before| before.executable) }
    }
}
