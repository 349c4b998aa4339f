//! A place in a text that moves down line by line, and refusals that name it. Pure.

use super::text::{Text, TextPlace};
use failure::Failure;

pub struct Scan<'a> {
    pub text: &'a Text,
    pub at: TextPlace,
}

impl<'a> Scan<'a> {
    /// The line here; empty past the end.
    pub fn line(&self) -> &'a [u8] {
        self.text.line(self.at).unwrap_or_default()
    }

    pub fn step(&mut self) {
        self.at = self.text.below(self.at);
    }

    pub fn refuse(&self, what: impl AsRef<str>) -> Failure {
        Failure::rejected(format!("{}:{}: {}", self.text.name(), self.at.number, what.as_ref()))
    }
}
