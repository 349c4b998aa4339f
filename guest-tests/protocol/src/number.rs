//! The range of numbers that a guest can have measured. The parser refuses a message with any other number, in any field.
//! The judge checks again, because evidence is also read from a file.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The largest number that a guest can have measured: 104 days in nanoseconds, and more events than it can count in that
/// time. Sums of a thousand such numbers fit into 64 bits, and an f64 holds each number exactly.
pub const NUMBER_MAX: u64 = 1 << 53;

/// Limit on the length of a field's name, which may come from the guest.
const FIELD_CHARS: usize = 80;

/// A number that no guest can have measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Path of the field, such as `measured.forced.send`.
    pub field: String,
    pub number: String,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, which no guest can have measured", self.field, self.number)
    }
}

/// The first number in any field of `data` that is not an integer from 0 to [`NUMBER_MAX`].
pub fn impossible(data: &impl Serialize) -> Option<Impossible> {
    match serde_json::to_value(data) {
        Ok(value) => find(&value, &mut Vec::new()),
        Err(error) => Some(Impossible { field: "it".to_owned(), number: error.to_string() }),
    }
}

/// The sum of `numbers`, saturating.
pub fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

/// Same as [`impossible`] for parsed JSON; `path` leads to `value`.
pub(crate) fn find(value: &Value, path: &mut Vec<String>) -> Option<Impossible> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => None,
        Value::Number(number) if number.as_u64().is_some_and(|number| number <= NUMBER_MAX) => None,
        Value::Number(number) => {
            let field = path.join(".").chars().take(FIELD_CHARS).collect();
            Some(Impossible { field, number: number.to_string() })
        }
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| (index.to_string(), item));
            find_below(items, path)
        }
        Value::Object(fields) => find_below(fields.iter().map(|(name, field)| (name.clone(), field)), path),
    }
}

fn find_below<'a>(
    parts: impl Iterator<Item = (String, &'a Value)>,
    path: &mut Vec<String>,
) -> Option<Impossible> {
    for (name, part) in parts {
        path.push(name);
        let found = find(part, path);
        path.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counts, Level, Measured, Trailer};

    #[test]
    fn number_above_the_limit_is_found_in_any_field() {
        const LEVEL: Level = Level { before: 0, peak: u64::MAX, after: 0 };
        let with = |change: fn(&mut Measured)| {
            let mut measured = Measured::default();
            change(&mut measured);
            impossible(&measured).map(|found| found.field)
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(with(|m| m.injected = NUMBER_MAX), None);
        assert_eq!(with(|m| m.injected = NUMBER_MAX + 1).as_deref(), Some("injected"));
        assert_eq!(with(|m| m.forced.add("send", u64::MAX)).as_deref(), Some("forced.send"));
        let found = with(|m| m.levels = [("things".to_owned(), LEVEL)].into());
        assert_eq!(found.as_deref(), Some("levels.things.peak"));
        let found = impossible(&Trailer { measured: 0, tainted: u64::MAX }).unwrap();
        assert_eq!(found.to_string(), "tainted is 18446744073709551615, which no guest can have measured");
    }

    #[test]
    fn negative_number_and_fraction_are_impossible() {
        for text in ["-1", "0.5", "8.0", "1e3", "18446744073709551616"] {
            let value = serde_json::from_str(text).unwrap();
            assert!(find(&value, &mut Vec::new()).is_some(), "{text}");
        }
    }

    #[test]
    fn long_field_name_is_cut() {
        let value = serde_json::json!({"x".repeat(1000): -1});
        assert_eq!(find(&value, &mut Vec::new()).unwrap().field.len(), FIELD_CHARS);
    }

    #[test]
    fn sums_saturate() {
        assert_eq!((sum([1, 2, 3]), sum([u64::MAX, 1])), (6, u64::MAX));
        let most = Counts([("send".to_owned(), u64::MAX)].into());
        assert_eq!((most.clone() + &most).get("send"), u64::MAX);
    }
}
