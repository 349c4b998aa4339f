//! How one [`Message`] becomes one line of the result channel. Only the guest encodes; only
//! [`crate::Parser`] reads the line back.

use std::fmt;
use std::str::FromStr;

use crate::Message;

/// First word of every line: the name and version of the framing.
pub(crate) const MAGIC: &str = "pp1";

/// Longest line, in bytes and without its newline, that the parser accepts.
pub const LINE_LIMIT: usize = 320 * 1024;

/// The secret of one boot: 32 lower-case hexadecimal digits. A line without it was not written by this
/// boot's guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Makes a nonce of 16 random bytes; where they come from is the caller's business.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Nonce(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl FromStr for Nonce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 32 || !digits {
            return Err(format!("a nonce is 32 lower-case hexadecimal digits, not {text:?}"));
        }
        Ok(Nonce(text.to_owned()))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Frames messages as `pp1 <nonce> <sequence> <crc32 of the json> <json>` and a newline. The sequence
/// starts at 0 and grows by one per message.
#[derive(Debug)]
pub struct Encoder {
    nonce: Nonce,
    sequence: u64,
}

impl Encoder {
    pub fn new(nonce: Nonce) -> Self {
        Encoder { nonce, sequence: 0 }
    }

    /// The line for `message`, newline included. Keeping it within [`LINE_LIMIT`] is up to the caller, who
    /// knows which of its texts may be cut.
    pub fn encode(&mut self, message: &Message) -> String {
        let json = serde_json::to_string(message).expect("a message is plain data with string keys");
        let crc = crc32fast::hash(json.as_bytes());
        let line = format!("{MAGIC} {} {} {crc:08x} {json}\n", self.nonce, self.sequence);
        self.sequence += 1;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_exactly_32_lower_case_hexadecimal_digits() {
        assert!("0123456789abcdef0123456789abcdef".parse::<Nonce>().is_ok());
        for bad in ["", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0"] {
            assert!(bad.parse::<Nonce>().is_err(), "{bad}");
        }
        assert!("0123456789ABCDEF0123456789abcdef".parse::<Nonce>().is_err());
        assert!("0123456789abcdef 123456789abcdef".parse::<Nonce>().is_err());
    }

    #[test]
    fn a_nonce_made_of_bytes_reads_back_as_itself() {
        let nonce = Nonce::from_bytes([0, 1, 0xfe, 0xff, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(nonce.to_string(), "0001feff0405060708090a0b0c0d0e0f");
        assert_eq!(nonce.to_string().parse::<Nonce>(), Ok(nonce));
    }

    #[test]
    fn a_line_holds_magic_nonce_sequence_checksum_and_json() {
        let mut encoder = Encoder::new(Nonce::from_bytes([0xab; 16]));
        let message = Message::Begin { scenario: "exit".into() };
        encoder.encode(&message);
        assert_eq!(
            encoder.encode(&message),
            "pp1 abababababababababababababababab 1 f36ba1c8 {\"kind\":\"begin\",\"scenario\":\"exit\"}\n"
        );
    }
}
