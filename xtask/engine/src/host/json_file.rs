//! A value in a file that a later command reads again: JSON, with the number of its schema. Knows no value of the harness.
//! What it reads may be anybody's: it has a limit, and is taken only where it says the same when it is written again.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::disk::write_whole;
use super::input::{Input, shown};
use failure::{Context, Exit, Failure, Result, escape};

/// One kind of file.
#[derive(Debug, Clone, Copy)]
pub struct JsonFile {
    /// Such as "the evidence".
    pub what: &'static str,
    pub schema: u32,
    pub most_bytes: u64,
    /// What to do about a file of another schema.
    pub remedy: &'static str,
}

#[derive(Serialize)]
struct Numbered<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Head {
    schema: Option<u32>,
}

impl JsonFile {
    /// Writes `value` behind the number of its schema.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write<T: Serialize>(&self, path: &Path, value: &T) -> Result<()> {
        let numbered = Numbered { schema: self.schema, value };
        let json = serde_json::to_string_pretty(&numbered).or_infra(|| format!("encode {}", self.what))?;
        write_whole(path, escape::json(&json).as_bytes())
    }

    /// What [`JsonFile::write`] wrote.
    ///
    /// # Errors
    /// When the file is not there, is too large, is of another schema, or says anything else than the value that comes of it.
    pub fn read<T: Serialize + DeserializeOwned>(&self, path: &Path) -> Result<T> {
        let input = Input { what: self.what, most_bytes: self.most_bytes, too_large: Exit::Usage };
        let text = input.read_text(path)?;
        let refuse = |why: String| {
            Failure::usage(format!("{}: this is not {}", shown(path), self.what))
                .because(why)
                .next(self.remedy)
        };
        let head: Head = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        match head.schema {
            Some(schema) if schema == self.schema => {}
            Some(schema) => {
                return Err(refuse(format!(
                    "its schema is {schema}, and this harness reads schema {}",
                    self.schema
                )));
            }
            None => return Err(refuse("it has no `schema`".to_owned())),
        }
        let value: T = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let found: Value = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let again = serde_json::to_value(Numbered { schema: self.schema, value: &value })
            .map_err(|error| refuse(error.to_string()))?;
        match difference(&found, &again) {
            None => Ok(value),
            Some(place) => Err(refuse(format!("this harness writes something else at `{place}`"))),
        }
    }
}

/// The first place at which two values differ, as a JSON pointer.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let below = |name: &str, one: Option<&Value>, other: Option<&Value>| match (one, other) {
        (Some(one), Some(other)) => difference(one, other).map(|rest| format!("/{name}{rest}")),
        _ => Some(format!("/{name}")),
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            names.map(|name| below(name, one.get(name), other.get(name))).find_map(|place| place)
        }
        (Value::Array(one), Value::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|at| below(&at.to_string(), one.get(at), other.get(at)))
        }
        _ => (one != other).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
        secs: f64,
        #[serde(default)]
        count: Option<u64>,
    }

    const SAMPLES: JsonFile =
        JsonFile { what: "a sample", schema: 2, most_bytes: 200, remedy: "make it again" };

    fn read(text: &str) -> Result<Sample> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, text).unwrap();
        SAMPLES.read(&path)
    }

    fn refused(text: &str) -> String {
        let failure = read(text).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for secs in [0.1 + 0.2, 1.0, 123_456.789_012_345_67, f64::MAX] {
            let sample = Sample { text: "\u{1b}\u{202e}\n".to_owned(), secs, count: Some(u64::MAX) };
            SAMPLES.write(&path, &sample).unwrap();
            assert_eq!(SAMPLES.read::<Sample>(&path).unwrap(), sample);
        }
    }

    #[test]
    fn another_schema_is_refused_with_what_to_do() {
        let text = refused(r#"{"schema": 1, "text": "", "secs": 1.0, "count": null}"#);
        assert!(text.contains("its schema is 1, and this harness reads schema 2"), "{text}");
        assert!(text.contains("next: make it again"), "{text}");
        assert!(refused(r#"{"text": "", "secs": 1.0, "count": null}"#).contains("it has no `schema`"));
    }

    #[test]
    fn anything_but_the_whole_value_is_refused() {
        for text in [
            "",
            "[]",
            "\u{0}",
            r#"{"schema": 2, "text": "", "secs": 1.0}"#,
            r#"{"schema": 2, "text": "", "secs": 1.0, "count": null, "more": 1}"#,
            r#"{"schema": 2, "text": "", "text": "", "secs": 1.0, "count": null}"#,
            r#"{"schema": 2, "text": "", "secs": 1e999, "count": null}"#,
            r#"{"schema": 2, "text": "", "secs": 1.0, "count": -1}"#,
        ] {
            assert!(refused(text).contains("this is not a sample"), "{text}");
        }
        let more = refused(r#"{"schema": 2, "text": "", "secs": 1.0, "count": null, "more": 1}"#);
        assert!(more.contains("this harness writes something else at `/more`"), "{more}");
        assert!(refused(&"[".repeat(150)).contains("this is not a sample"));
        assert!(refused(&" ".repeat(300)).contains("larger than"));
    }
}
