//! The result channel: no bytes make the parser panic, none that lack this boot's nonce become a message, and
//! the same bytes cut in two give the same result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Nonce, Transcript};

fn read(pieces: &[&[u8]]) -> Transcript {
    let mut transcript = Transcript::new(Nonce::from_bytes([0x5a; 16]));
    for piece in pieces {
        transcript.feed(piece);
    }
    transcript.finish();
    transcript
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let (whole, cut) = (read(&[bytes]), read(&[first, second]));
    assert_eq!(whole.messages(), cut.messages());
    assert_eq!(whole.rejects(), cut.rejects());
    assert_eq!((whole.rejected(), whole.dropped()), (cut.rejected(), cut.dropped()));
    let nonce = "5a".repeat(16);
    let named = bytes.windows(nonce.len()).any(|window| window == nonce.as_bytes());
    assert!(named || whole.messages().is_empty());
});
