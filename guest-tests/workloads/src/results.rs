//! How each thing that a workload did ended, within the bounds of one line of the result channel. Pure.

use std::collections::BTreeMap;

use protocol::{RESULT_CHARS_MAX, RESULTS_MAX, WorkResult};

/// Longest end of an output that is passed on, in characters.
pub const OUTPUT_CHARS_MAX: usize = 2000;

/// Results by name. What does not fit is left out: the first ones stay, so that two kernels that do the same report the
/// same.
#[derive(Debug, Default)]
pub struct Results(BTreeMap<String, WorkResult>);

impl Results {
    /// A name that is there already gets a number.
    pub fn add(&mut self, name: &str, result: WorkResult) {
        if self.is_full() {
            return;
        }
        let name = self::name(name);
        let taken = |name: &str| self.0.contains_key(name);
        let free = match taken(&name) {
            false => Some(name),
            true => (2..=RESULTS_MAX)
                .map(|number| tail(&format!("{name} ({number})"), RESULT_CHARS_MAX))
                .find(|name| !taken(name)),
        };
        if let Some(name) = free {
            self.0.insert(name, short(result));
        }
    }

    /// Takes of `others` what is not here, and what ended worse there.
    pub fn worsen(&mut self, others: Results) {
        for (name, result) in others.0 {
            let known = self.0.get(&name);
            if known.is_none_or(|known| badness(known) < badness(&result)) {
                self.0.insert(name, result);
            }
        }
    }

    pub fn is_full(&self) -> bool {
        self.0.len() >= RESULTS_MAX
    }

    pub fn into_map(self) -> BTreeMap<String, WorkResult> {
        self.0
    }
}

fn badness(result: &WorkResult) -> u8 {
    match result {
        WorkResult::Ok => 0,
        WorkResult::Skipped(_) => 1,
        WorkResult::Failed(_) => 2,
    }
}

fn short(result: WorkResult) -> WorkResult {
    let head = |text: String| plain(&text).chars().take(RESULT_CHARS_MAX).collect();
    match result {
        WorkResult::Ok => WorkResult::Ok,
        WorkResult::Skipped(why) => WorkResult::Skipped(head(why)),
        WorkResult::Failed(why) => WorkResult::Failed(head(why)),
    }
}

/// A name as it is told.
pub fn name(name: &str) -> String {
    tail(name, RESULT_CHARS_MAX)
}

/// The end of a name says more than its beginning: of a path, of a test in a suite.
fn tail(name: &str, most: usize) -> String {
    let name = plain(name);
    name.chars().skip(name.chars().count().saturating_sub(most)).collect()
}

/// Characters that are one byte each in JSON, on one line.
fn plain(text: &str) -> String {
    let replace = |character: char| match character {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        '\t' | '\n' => ' ',
        _ => '?',
    };
    text.trim().chars().map(replace).collect()
}

/// The last of what was printed. Lines stay lines.
pub fn end_of_output(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(OUTPUT_CHARS_MAX * 4);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    let text: Vec<char> = text
        .chars()
        .map(|character| match character {
            '\n' => '\n',
            '"' => '\'',
            '\\' => '/',
            '\t' => ' ',
            ' '..='~' => character,
            _ => '?',
        })
        .collect();
    text[text.len().saturating_sub(OUTPUT_CHARS_MAX)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::{
        ANSWER_KINDS_MAX, ANSWERS_MAX, CallAnswers, Encoder, FOUND_MAX, LINE_LIMIT, Measured, Message, Nonce,
    };

    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let mut results = Results::default();
        results.add("open", WorkResult::Ok);
        results.add("open", WorkResult::Failed("EINVAL".to_owned()));
        let map = results.into_map();
        assert_eq!(map["open"], WorkResult::Ok);
        assert_eq!(map["open (2)"], WorkResult::Failed("EINVAL".to_owned()));
    }

    #[test]
    fn worst_of_two_results_stays() {
        let (mut now, mut before) = (Results::default(), Results::default());
        now.add("open", WorkResult::Ok);
        before.add("open", WorkResult::Failed("EIO".to_owned()));
        now.add("read", WorkResult::Failed("EBADF".to_owned()));
        before.add("read", WorkResult::Ok);
        before.add("close", WorkResult::Ok);
        now.worsen(before);
        let map = now.into_map();
        assert_eq!(map["open"], WorkResult::Failed("EIO".to_owned()));
        assert_eq!(map["read"], WorkResult::Failed("EBADF".to_owned()));
        assert_eq!(map["close"], WorkResult::Ok);
    }

    #[test]
    fn all_results_fit_into_one_line() {
        let mut results = Results::default();
        for number in 0..2 * RESULTS_MAX {
            let name = format!("{}{number:04}", "\"\u{1}ü".repeat(40));
            results.add(&name, WorkResult::Skipped("\\\u{7}é".repeat(40)));
        }
        let found =
            (0..FOUND_MAX).map(|number| (name(&format!("{}{number:04}", "\"ü".repeat(60))), u64::MAX));
        let kinds: Vec<u32> = (0..ANSWER_KINDS_MAX / ANSWERS_MAX).map(|at| u32::MAX - at as u32).collect();
        let answers = (0..ANSWERS_MAX).map(|number| {
            let failed = BTreeMap::from([("EAFNOSUPPORT, ".repeat(3), kinds.clone())]);
            (name(&format!("{}{number:04}", "\"ü".repeat(60))), CallAnswers { ok: Vec::new(), failed })
        });
        let measured = Measured {
            results: results.into_map(),
            found: found.collect(),
            answers: answers.collect(),
            output: end_of_output("\u{1}\"\n".repeat(3000).as_bytes()),
            ..Measured::default()
        };
        assert_eq!((measured.results.len(), measured.found.len()), (RESULTS_MAX, FOUND_MAX));
        let message = Message::Measured { scenario: "x".repeat(64), measured: Box::new(measured) };
        let line = Encoder::new(Nonce::from_bytes([0; 16])).encode(&message);
        assert!(line.len() < LINE_LIMIT, "{}", line.len());
    }

    proptest! {
        #[test]
        fn names_and_texts_are_bounded(name in ".*", why in ".*", output in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let mut results = Results::default();
            results.add(&name, WorkResult::Failed(why));
            for (name, result) in results.into_map() {
                prop_assert!(name.len() <= RESULT_CHARS_MAX);
                let WorkResult::Failed(why) = result else { panic!("it failed") };
                prop_assert!(why.len() <= RESULT_CHARS_MAX);
            }
            prop_assert!(end_of_output(&output).chars().count() <= OUTPUT_CHARS_MAX);
        }
    }
}
