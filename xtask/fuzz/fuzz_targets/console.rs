//! The console: no bytes make it panic, memory stays bounded, and the same bytes cut in two give the same result.
#![no_main]

use console::Console;
use libfuzzer_sys::fuzz_target;

fn read(pieces: &[&[u8]]) -> Console {
    let mut console = Console::default();
    for piece in pieces {
        console.feed(piece);
    }
    console.finish();
    console
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let (whole, cut) = (read(&[bytes]), read(&[first, second]));
    assert_eq!(whole.splats(), cut.splats());
    assert_eq!(whole.splats_total(), cut.splats_total());
    assert_eq!(whole.kernel_spoke(), cut.kernel_spoke());
    assert!(whole.last_lines().eq(cut.last_lines()));
});
