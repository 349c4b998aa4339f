//! The result channel: no bytes make the parser panic, none that lack this boot's nonce become a message, and
//! the same bytes cut in two give the same result. A fuzzer does not find a checksum: half of the inputs are framed
//! as this boot's guest would frame them, so that what stands behind the checksum is reached too.
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

/// Every line of `bytes` as the next message's JSON.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (sequence, json) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let head = format!("pp1 {} {sequence} {:08x} ", "5a".repeat(16), crc32fast::hash(json));
        out.extend([head.as_bytes(), json, b"\n"].concat());
    }
    out
}

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (frame, cut, bytes) = input;
    let bytes = &if frame { framed(bytes) } else { bytes.to_vec() };
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let (whole, cut) = (read(&[bytes]), read(&[first, second]));
    assert_eq!(whole.messages(), cut.messages());
    assert_eq!(whole.rejects(), cut.rejects());
    assert_eq!((whole.rejected(), whole.dropped()), (cut.rejected(), cut.dropped()));
    assert!(whole.messages().iter().all(|message| protocol::impossible(message).is_none()));
    let nonce = "5a".repeat(16);
    let named = bytes.windows(nonce.len()).any(|window| window == nonce.as_bytes());
    assert!(named || whole.messages().is_empty());
});
