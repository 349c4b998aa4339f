//! Everything one boot said, kept within bounds. Judging it is for the host.

use crate::Message;
use crate::frame::Nonce;
use crate::parser::{Parser, Reject};

/// Most messages kept from one boot; a sound guest sends three and, per scenario, two and one for every ten seconds.
pub const MESSAGE_LIMIT: usize = 4096;

/// Most rejected lines kept as examples.
pub const REJECT_LIMIT: usize = 32;

/// The messages of one boot in the order they came, and what was not a message.
#[derive(Debug)]
pub struct Transcript {
    parser: Parser,
    messages: Vec<Message>,
    rejects: Vec<Reject>,
    rejected: u64,
    dropped: u64,
}

impl Transcript {
    pub fn new(nonce: Nonce) -> Self {
        Transcript {
            parser: Parser::new(nonce),
            messages: Vec::new(),
            rejects: Vec::new(),
            rejected: 0,
            dropped: 0,
        }
    }

    /// Takes the next bytes of the channel; returns how many messages they completed, so that a caller can
    /// look at the new tail of [`Transcript::messages`].
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let before = self.messages.len();
        let Transcript { parser, messages, rejects, rejected, dropped } = self;
        parser.feed(bytes, &mut |line| keep(line, messages, rejects, rejected, dropped));
        self.messages.len().saturating_sub(before)
    }

    /// Says that the channel has ended.
    pub fn finish(&mut self) {
        let Transcript { parser, messages, rejects, rejected, dropped } = self;
        parser.finish(&mut |line| keep(line, messages, rejects, rejected, dropped));
    }

    /// At most [`MESSAGE_LIMIT`] messages.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The first rejected lines, at most [`REJECT_LIMIT`]. Even one means that the evidence is not whole.
    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// How many lines were rejected altogether.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// How many sound messages came after [`MESSAGE_LIMIT`] and were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn keep(
    line: Result<Message, Reject>,
    messages: &mut Vec<Message>,
    rejects: &mut Vec<Reject>,
    rejected: &mut u64,
    dropped: &mut u64,
) {
    match line {
        Ok(message) if messages.len() < MESSAGE_LIMIT => messages.push(message),
        Ok(_) => *dropped = dropped.saturating_add(1),
        Err(reject) => {
            *rejected = rejected.saturating_add(1);
            if rejects.len() < REJECT_LIMIT {
                rejects.push(reject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoder;

    #[test]
    fn a_flood_of_garbage_is_counted_but_not_kept() {
        let mut transcript = Transcript::new(Nonce::from_bytes([1; 16]));
        for _ in 0..1000 {
            transcript.feed(&[b'\n'; 1000]);
        }
        assert_eq!(transcript.rejected(), 1_000_000);
        assert_eq!(transcript.rejects().len(), REJECT_LIMIT);
        assert_eq!(transcript.messages(), []);
    }

    #[test]
    fn a_flood_of_sound_messages_is_cut_and_says_so() {
        let nonce = Nonce::from_bytes([1; 16]);
        let mut encoder = Encoder::new(nonce.clone());
        let mut transcript = Transcript::new(nonce);
        for _ in 0..MESSAGE_LIMIT + 7 {
            transcript.feed(encoder.encode(&Message::Plan { scenarios: vec![] }).as_bytes());
        }
        assert_eq!(transcript.messages().len(), MESSAGE_LIMIT);
        assert_eq!(transcript.dropped(), 7);
    }

    #[test]
    fn feed_tells_how_many_messages_are_new() {
        let nonce = Nonce::from_bytes([1; 16]);
        let line = Encoder::new(nonce.clone()).encode(&Message::Begin { scenario: "munmap".into() });
        let (head, tail) = line.split_at(30);
        let mut transcript = Transcript::new(nonce);
        assert_eq!(transcript.feed(head.as_bytes()), 0);
        assert_eq!(transcript.feed(tail.as_bytes()), 1);
    }

    #[test]
    fn half_a_line_at_the_end_is_a_reject() {
        let mut transcript = Transcript::new(Nonce::from_bytes([1; 16]));
        transcript.feed(b"pp1 0101");
        assert_eq!(transcript.rejected(), 0);
        transcript.finish();
        assert_eq!(transcript.rejected(), 1);
    }
}
