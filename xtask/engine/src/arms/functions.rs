//! Which functions changed lines are in, and who calls them, by the kernel's style of writing: the braces of a body stand at the
//! beginning of a line. Reads text, also what no parser of C takes; knows no symbols.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::observe::{ChangedLine, Side};

/// Callers of callers.
const CALLERS_MAX: usize = 6;

/// Macros below which a body stands, and the names of the functions that become of it (include/linux/syscalls.h).
const SYSTEM_CALLS: [&str; 3] = ["__do_sys_", "__se_sys_", "__x64_sys_"];

#[derive(Debug)]
struct FunctionText<'a> {
    name: String,
    /// From the line behind the one before it to its last brace.
    lines: RangeInclusive<u32>,
    body: &'a str,
}

/// The functions of one file.
#[derive(Debug, Default)]
pub struct Functions {
    /// Name, lines, names of those that it calls or names otherwise.
    all: Vec<(String, RangeInclusive<u32>, BTreeSet<String>)>,
}

impl Functions {
    pub fn of(text: &[u8]) -> Functions {
        let text = String::from_utf8_lossy(text);
        let found = found(&text);
        let names: BTreeSet<&str> = found.iter().map(|function| function.name.as_str()).collect();
        let all = found.iter().map(|function| {
            let words = function.body.split(|c: char| !is_name(c));
            let called = words.filter(|word| names.contains(word)).map(str::to_owned).collect();
            (function.name.clone(), function.lines.clone(), called)
        });
        Functions { all: all.collect() }
    }

    /// Of each function that `lines` change, its names and those of its callers, the nearest first.
    pub fn changed_by(&self, lines: &[ChangedLine]) -> Vec<Vec<String>> {
        let (mut at, mut places) = (0, Vec::new());
        for line in lines {
            match line.side {
                Side::Added => places.push(line.number),
                Side::Removed => places.push(at),
                Side::Context => {}
            }
            if line.side != Side::Removed {
                at = line.number;
            }
        }
        let mut changed: Vec<Vec<String>> = Vec::new();
        for (name, lines, _) in &self.all {
            if places.iter().any(|place| lines.contains(place)) && !changed.iter().any(|one| one[0] == *name)
            {
                changed.push(self.with_callers(name));
            }
        }
        changed
    }

    fn with_callers(&self, name: &str) -> Vec<String> {
        let mut names = vec![name.to_owned()];
        let mut next = 0;
        while let Some(called) = names.get(next).cloned() {
            for (caller, _, calls) in &self.all {
                if calls.contains(&called) && !names.contains(caller) && names.len() <= CALLERS_MAX {
                    names.push(caller.clone());
                }
            }
            next += 1;
        }
        names.into_iter().flat_map(symbols).collect()
    }
}

/// The symbols that a function may have.
fn symbols(name: String) -> Vec<String> {
    match name.strip_prefix(SYSTEM_CALLS[0]) {
        Some(call) => SYSTEM_CALLS.iter().map(|start| format!("{start}{call}")).collect(),
        None => vec![name],
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn found(text: &str) -> Vec<FunctionText<'_>> {
    let mut functions = Vec::new();
    let (mut head_from, mut body_from, mut head_line) = (0, None, 1_u32);
    let (mut at, mut number) = (0, 0_u32);
    for line in text.split_inclusive('\n') {
        number = number.saturating_add(1);
        let end = at + line.len();
        match line.trim_end() {
            "{" if body_from.is_none() => body_from = Some(at),
            "}" | "};" => {
                if let Some(from) = body_from.take()
                    && let Some(name) = name_of(&text[head_from..from])
                {
                    functions.push(FunctionText { name, lines: head_line..=number, body: &text[from..end] });
                }
                (head_from, head_line) = (end, number.saturating_add(1));
            }
            // What stands between functions ends like this.
            other
                if body_from.is_none()
                    && (other.is_empty() || other.ends_with(';') || other.ends_with("*/")) =>
            {
                (head_from, head_line) = (end, number.saturating_add(1));
            }
            _ => {}
        }
        at = end;
    }
    functions
}

/// The name in a function's head: before the longest group in parentheses, because attributes have groups as well.
fn name_of(head: &str) -> Option<String> {
    let (mut depth, mut open, mut best): (usize, usize, Option<(usize, String)>) = (0, 0, None);
    for (at, c) in head.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    open = at;
                }
                depth += 1;
            }
            ')' if depth == 1 => {
                depth = 0;
                let before = head[..open].trim_end();
                let name = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
                let length = at - open;
                if !name.is_empty() && best.as_ref().is_none_or(|(most, _)| length > *most) {
                    best = Some((length, without_macro(name, &head[open + 1..at])));
                }
            }
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    best.map(|(_, name)| name)
}

/// The body below `SYSCALL_DEFINE3(openat, …)` is that of `__do_sys_openat`; other macros name their function first as well.
fn without_macro(name: &str, arguments: &str) -> String {
    let is_macro = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let first = arguments.split(',').next().unwrap_or(name).trim();
    match (name.contains("SYSCALL_DEFINE"), is_macro) {
        (true, _) => format!("{}{first}", SYSTEM_CALLS[0]),
        (false, true) => first.to_owned(),
        (false, false) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#include <x.h>\n\nstatic int inner(int a)\n{\n\treturn a;\n}\n\n/* Text (with words) */\n\
        int __printf(2, 3) outer(struct x *x, const char *format, ...)\n{\n\tif (x)\n\t\treturn inner(1);\n\
        \treturn 0;\n}\nEXPORT_SYMBOL(outer);\n\nSYSCALL_DEFINE2(open, int, a, int, b)\n{\n\treturn outer(NULL, NULL);\n}\n\n\
        static const struct ops ops = {\n\t.open = outer,\n};\n\nstatic void last(struct x *x)\n\t__must_hold(&x->lock)\n{\n}\n";

    fn lines(numbers: &[u32]) -> Vec<ChangedLine> {
        let line = |number: &u32| ChangedLine {
            side: Side::Added,
            number: *number,
            text: String::new(),
            statement: None,
            within: None,
        };
        numbers.iter().map(line).collect()
    }

    #[test]
    fn function_is_known_by_its_name_whatever_macros_its_head_has() {
        let functions = Functions::of(TEXT.as_bytes());
        let names: Vec<&str> = functions.all.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["inner", "outer", "__do_sys_open", "last"]);
    }

    #[test]
    fn callers_of_the_same_file_stand_behind_a_function() {
        let functions = Functions::of(TEXT.as_bytes());
        assert_eq!(
            functions.changed_by(&lines(&[5])),
            [["inner", "outer", "__do_sys_open", "__se_sys_open", "__x64_sys_open"]]
        );
        assert_eq!(functions.changed_by(&lines(&[1, 23])), Vec::<Vec<String>>::new());
        assert_eq!(functions.changed_by(&lines(&[12, 13])).len(), 1);
    }

    #[test]
    fn any_text_is_taken() {
        for text in ["{\n}\n", "}\n}\n{", "((((\n{\n}\n", "\u{fffd}é(é)\n{\n}"] {
            Functions::of(text.as_bytes());
        }
    }
}
