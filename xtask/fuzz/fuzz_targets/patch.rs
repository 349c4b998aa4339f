//! Mails and diffs: no bytes make the reader panic; what it takes, it takes again in the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let first = patch::read(bytes, "input");
    if let Ok(series) = &first {
        assert!(series.patches.iter().all(|patch| !patch.files.is_empty()));
    }
    assert_eq!(first, patch::read(bytes, "input"));
});
