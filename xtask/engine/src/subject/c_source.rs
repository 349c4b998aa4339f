//! C source as a tree: functions, calls and statements, and what a configuration compiles of them. Pure.
//!
//! The kernel's macros are no C that a parser knows, so the tree has holes. What stands in a hole is not found; it is
//! never guessed.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use crate::subject::kconfig::KconfigRequest;
use failure::{Context, Failure, Result};

/// Words in the names of functions that end what others began.
pub const RELEASES: [&str; 12] = [
    "unlock",
    "put",
    "free",
    "release",
    "del",
    "remove",
    "unregister",
    "destroy",
    "cancel",
    "exit",
    "drop",
    "restore",
];

/// The largest C files of the kernel that are not lists of registers have 1 MiB.
const BYTES_MAX: usize = 4 << 20;
/// The parser asks whether to go on every hundred operations; kernel source takes less than one for each byte.
const STEPS_LEAST: usize = 1000;
const BYTES_PER_STEP: usize = 20;

/// Branches of the preprocessor around a function, and operators in a condition, that are followed.
const NESTING_MAX: usize = 64;

/// One file, parsed.
pub struct CSource {
    text: Vec<u8>,
    tree: Tree,
    whole: bool,
}

/// A function with its body.
#[derive(Clone, Copy)]
pub struct Function<'a> {
    pub name: &'a str,
    pub body: Node<'a>,
    /// From its first word to its last brace.
    start: usize,
}

/// A call of a function by its name.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub callee: &'a str,
    pub node: Node<'a>,
}

/// What is known of a configuration: a symbol is on, is off, or is not in it.
#[derive(Debug, Default, Clone)]
pub struct Config(BTreeMap<String, bool>);

impl Config {
    pub fn new(requests: &[KconfigRequest]) -> Config {
        let value = |request: &KconfigRequest| match request.value.as_str() {
            "n" => Some(false),
            // `#ifdef CONFIG_X` is false of a module and IS_ENABLED() is true.
            "m" => None,
            _ => Some(true),
        };
        Config(requests.iter().filter_map(|r| Some((format!("CONFIG_{}", r.symbol), value(r)?))).collect())
    }

    fn is_on(&self, symbol: &str) -> Option<bool> {
        self.0.get(symbol).copied()
    }
}

impl CSource {
    /// Parses a file. One that is no source that a person wrote, because it is too large or too deep in itself, is as good
    /// as empty: see [`CSource::is_whole`].
    ///
    /// # Errors
    /// When the parser cannot be set up: never because of what stands in the file.
    pub fn parse(text: &[u8]) -> Result<CSource> {
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_c::LANGUAGE.into())
            .or_infra(|| "load the grammar of C".to_owned())?;
        // The file may come with the patch: it may not keep the parser for ever.
        let mut left = STEPS_LEAST + text.len() / BYTES_PER_STEP;
        let mut go_on = |_: &ParseState| {
            left = left.saturating_sub(1);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut go_on);
        let mut read = |at: usize, _| text.get(at..).unwrap_or_default();
        let parsed = match text.len() <= BYTES_MAX {
            true => parser.parse_with_options(&mut read, None, Some(options)),
            false => None,
        };
        let whole = parsed.is_some();
        parser.reset();
        let nothing = || parser.parse("", None).ok_or_else(|| Failure::internal("the parser of C gave up"));
        let tree = parsed.map_or_else(nothing, Ok)?;
        Ok(CSource { text: text.to_owned(), tree, whole })
    }

    /// Whether all of it was parsed.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    pub fn text(&self, range: Range<usize>) -> &str {
        // Identifiers and the text of statements; a comment in another encoding is shown as nothing.
        self.text.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    pub fn text_of(&self, node: Node<'_>) -> &str {
        self.text(node.byte_range())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    pub fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    /// The functions that have a body here, in whatever branch of the preprocessor.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let mut functions = Vec::new();
        self.collect(self.root(), 0, &mut functions);
        functions
    }

    fn collect<'a>(&'a self, node: Node<'a>, depth: usize, functions: &mut Vec<Function<'a>>) {
        // The file may come with the patch: what is nested deeper is no kernel source.
        if depth > NESTING_MAX {
            return;
        }
        let mut before: Option<Node<'a>> = None;
        for child in children(node) {
            match child.kind() {
                "function_definition" => functions.extend(self.function(child)),
                // `SYSCALL_DEFINE1(name, …)` is a statement to the parser, and its body a block of its own.
                "compound_statement" => {
                    functions.extend(before.and_then(|head| self.macro_function(head, child)))
                }
                "comment" => continue,
                _ => self.collect(child, depth + 1, functions),
            }
            before = Some(child);
        }
    }

    fn function<'a>(&'a self, node: Node<'a>) -> Option<Function<'a>> {
        let mut declarator = node.child_by_field_name("declarator")?;
        while declarator.kind() != "function_declarator" {
            declarator = declarator.child_by_field_name("declarator")?;
        }
        let name = declarator.child_by_field_name("declarator")?;
        let body = node.child_by_field_name("body")?;
        let start = node.start_byte();
        (name.kind() == "identifier").then(|| Function { name: self.text_of(name), body, start })
    }

    fn macro_function<'a>(&'a self, head: Node<'a>, body: Node<'a>) -> Option<Function<'a>> {
        let (name, arguments) = self.text_of(head).split_once('(')?;
        let is_macro = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let first = arguments.split([',', ')']).next()?.trim();
        let is_name = !first.is_empty() && first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (is_macro && is_name && name.contains("DEFINE")).then_some(Function {
            name: first,
            body,
            start: head.start_byte(),
        })
    }

    /// The functions that are declared or defined, by name.
    pub fn declared(&self) -> Vec<&str> {
        let declarators =
            descendants(self.root()).into_iter().filter(|node| node.kind() == "function_declarator");
        let names = declarators.filter_map(|node| node.child_by_field_name("declarator"));
        names.filter(|name| name.kind() == "identifier").map(|name| self.text_of(name)).collect()
    }

    /// The calls below `node`, in the order of the text.
    pub fn calls<'a>(&'a self, node: Node<'a>) -> Vec<Call<'a>> {
        let calls = descendants(node).into_iter().filter(|node| node.kind() == "call_expression");
        calls
            .filter_map(|node| {
                let function = node.child_by_field_name("function")?;
                (function.kind() == "identifier").then(|| Call { callee: self.text_of(function), node })
            })
            .collect()
    }

    /// The arguments of a call.
    pub fn arguments<'a>(&'a self, call: Node<'a>) -> Vec<&'a str> {
        let Some(list) = call.child_by_field_name("arguments") else { return Vec::new() };
        let mut cursor = list.walk();
        let arguments: Vec<Node<'a>> = list.named_children(&mut cursor).collect();
        arguments.into_iter().filter(|node| node.kind() != "comment").map(|node| self.text_of(node)).collect()
    }

    /// What the macros with arguments stand for, by name.
    pub fn macros(&self) -> Vec<(&str, &str)> {
        let definitions =
            descendants(self.root()).into_iter().filter(|node| node.kind() == "preproc_function_def");
        let mut found = Vec::new();
        for node in definitions {
            let fields = (node.child_by_field_name("name"), node.child_by_field_name("value"));
            if let (Some(name), Some(value)) = fields {
                found.push((self.text_of(name), self.text_of(value)));
            }
        }
        found
    }

    /// Whether `config` may compile `node`: no condition around it, of the preprocessor or with IS_ENABLED(), is
    /// known to be false.
    pub fn is_live(&self, node: Node<'_>, config: &Config) -> bool {
        let mut child = node;
        while let Some(parent) = child.parent() {
            let is = |field| parent.child_by_field_name(field).is_some_and(|found| found.id() == child.id());
            let condition = match parent.kind() {
                "preproc_ifdef" => self.is_defined(parent, config),
                "preproc_if" | "preproc_elif" => {
                    parent.child_by_field_name("condition").and_then(|node| self.value(node, config))
                }
                "if_statement" => match is("condition") {
                    true => None,
                    false => {
                        parent.child_by_field_name("condition").and_then(|node| self.value(node, config))
                    }
                },
                _ => None,
            };
            if condition.is_some_and(|condition| condition == is("alternative")) {
                return false;
            }
            child = parent;
        }
        true
    }

    fn is_defined(&self, ifdef: Node<'_>, config: &Config) -> Option<bool> {
        let on = config.is_on(self.text_of(ifdef.child_by_field_name("name")?))?;
        Some(on != self.text_of(ifdef).starts_with("#ifndef"))
    }

    /// The value of a condition, as far as `config` decides it.
    fn value(&self, node: Node<'_>, config: &Config) -> Option<bool> {
        self.value_below(node, config, 0)
    }

    fn value_below(&self, node: Node<'_>, config: &Config, depth: usize) -> Option<bool> {
        if depth > NESTING_MAX {
            return None;
        }
        let value = |node: Node<'_>| self.value_below(node, config, depth + 1);
        let field = |name| node.child_by_field_name(name);
        match node.kind() {
            "parenthesized_expression" => value(node.named_child(0)?),
            "preproc_defined" => config.is_on(self.text_of(node.named_child(0)?)),
            "call_expression" | "preproc_call_expression" => {
                let is_enabled = self.text_of(field("function")?) == "IS_ENABLED";
                if is_enabled {
                    config.is_on(self.text_of(field("arguments")?.named_child(0)?))
                } else {
                    None
                }
            }
            "unary_expression" => {
                let is_not = self.text_of(field("operator")?) == "!";
                if is_not { Some(!value(field("argument")?)?) } else { None }
            }
            "binary_expression" => {
                let sides = (value(field("left")?), value(field("right")?));
                match (self.text_of(field("operator")?), sides) {
                    ("&&", (Some(false), _) | (_, Some(false))) => Some(false),
                    ("||", (Some(true), _) | (_, Some(true))) => Some(true),
                    ("&&" | "||", (Some(left), Some(_))) => Some(left),
                    _ => None,
                }
            }
            "number_literal" => Some(self.text_of(node) != "0"),
            _ => None,
        }
    }

    /// The words of each function, and those outside of every function.
    pub fn words_by_function(&self) -> Words {
        let functions = self.functions();
        let mut words = Words::default();
        let leaves = descendants(self.root())
            .into_iter()
            .filter(|node| node.child_count() == 0 && node.kind() != "comment");
        // Both are in the order of the text.
        let mut left = functions.iter().peekable();
        for leaf in leaves {
            while left.next_if(|function| function.range().end <= leaf.start_byte()).is_some() {}
            let of = left.peek().filter(|function| function.range().contains(&leaf.start_byte()));
            let words = match of {
                Some(function) => words.functions.entry(function.name.to_owned()).or_default(),
                None => &mut words.outside,
            };
            words.extend(self.text_of(leaf).split_whitespace().map(str::to_owned));
        }
        words
    }

    /// The words of a piece of text without its comments and white space, which the compiler does not see.
    pub fn words(&self, node: Node<'_>) -> String {
        let leaves =
            descendants(node).into_iter().filter(|node| node.child_count() == 0 && node.kind() != "comment");
        let texts = leaves.flat_map(|leaf| self.text_of(leaf).split_whitespace());
        texts.collect::<Vec<_>>().join(" ")
    }
}

/// What the compiler sees of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub functions: BTreeMap<String, Vec<String>>,
    pub outside: Vec<String>,
}

impl Function<'_> {
    pub fn range(&self) -> Range<usize> {
        self.start..self.body.end_byte()
    }

    /// Nothing stands in its body.
    pub fn is_empty(&self) -> bool {
        children(self.body).iter().all(|node| !node.is_named() || node.kind() == "comment")
    }
}

/// Stands above a body that is parsed by itself.
pub const HEAD: &str = "void f(void)\n";

/// A function's braces and what is between them.
pub struct BodyText {
    pub bytes: Range<usize>,
    /// Lines of the braces, from 1.
    pub first: u32,
    pub last: u32,
}

impl BodyText {
    /// The body of `text` by itself, below [`HEAD`]: whatever macros its own head has.
    ///
    /// # Errors
    /// As [`CSource::parse`].
    pub fn parse(&self, text: &[u8]) -> Result<CSource> {
        CSource::parse(&[HEAD.as_bytes(), &text[self.bytes.clone()]].concat())
    }
}

/// The bodies of a file, without parsing it: in the kernel's style their braces stand at the beginning of a line.
pub fn bodies(text: &[u8]) -> Vec<BodyText> {
    let (mut found, mut open, mut at) = (Vec::new(), None, 0);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        match line.trim_ascii_end() {
            b"{" => open = Some((at, number)),
            b"}" | b"};" => {
                if let Some((start, first)) = open.take() {
                    found.push(BodyText { bytes: start..at + 1, first, last: number });
                }
            }
            _ => {}
        }
        at += line.len();
    }
    found
}

pub fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).collect()
}

/// `node` and everything below it, in the order of the text.
pub fn descendants(node: Node<'_>) -> Vec<Node<'_>> {
    let mut all = Vec::new();
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        all.push(node);
        left.extend(children(node).into_iter().rev());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &[u8] = include_bytes!("../../../testdata/patch/base/mm/mmu_gather.c");

    fn parse(text: &str) -> CSource {
        CSource::parse(text.as_bytes()).unwrap()
    }

    fn config(symbol: &str, value: &str) -> Config {
        let request = KconfigRequest {
            symbol: symbol.to_owned(),
            value: value.to_owned(),
            origin: String::new(),
            if_known: false,
            instead: false,
        };
        Config::new(&[request])
    }

    /// The functions that are compiled when CONFIG_X has this value.
    fn live(text: &str, value: &str) -> Vec<String> {
        let (source, config) = (parse(text), config("X", value));
        let live = source.functions().into_iter().filter(|function| source.is_live(function.body, &config));
        live.map(|function| function.name.to_owned()).collect()
    }

    #[test]
    fn kernel_source_is_parsed_whole_and_its_functions_are_found() {
        let source = CSource::parse(KERNEL).unwrap();
        assert!(source.is_whole());
        let names: Vec<&str> = source.functions().iter().map(|function| function.name).collect();
        // Two of them have a body in each arm of an #ifdef.
        let mut different = names.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!((names.len(), different.len()), (32, 28), "{names:?}");
    }

    #[test]
    fn a_file_that_no_person_wrote_is_as_good_as_empty_and_says_so() {
        let large = format!("int f(void) {{ g(); }}\n{}", " ".repeat(BYTES_MAX));
        assert!(!parse(&large).is_whole() && parse(&large).functions().is_empty());
        for nested in ["(", "{", "#if X\n", "f(", "if (x) ", "[", "*", "a ? "] {
            let text = format!("int f(void) {{ {}", nested.repeat(20_000));
            let source = parse(&text);
            source.functions();
            source.words_by_function();
            source.calls(source.root());
        }
        assert!(CSource::parse(b"\xff\xfe\0int f(void) { }").unwrap().is_whole());
    }

    #[test]
    fn branches_that_the_configuration_leaves_out_are_not_live() {
        let ifdef = "#ifdef CONFIG_X\nint a(void) { }\n#else\nint b(void) { }\n#endif\n";
        assert_eq!((live(ifdef, "y"), live(ifdef, "n")), (vec!["a".into()], vec!["b".into()]));
        assert_eq!(live(ifdef, "m").len(), 2);
        let ifndef = ifdef.replace("ifdef", "ifndef");
        assert_eq!((live(&ifndef, "y"), live(&ifndef, "n")), (vec!["b".into()], vec!["a".into()]));
        let expression = ifdef.replace("#ifdef CONFIG_X", "#if defined(CONFIG_Y) && !IS_ENABLED(CONFIG_X)");
        assert_eq!((live(&expression, "y"), live(&expression, "n").len()), (vec!["b".into()], 2));
        let elif = "#if defined(CONFIG_X)\nint a(void) { }\n#elif defined(CONFIG_Y)\nint b(void) { }\n#else\nint c(void) { }\n#endif\n";
        assert_eq!((live(elif, "y"), live(elif, "n").len()), (vec!["a".into()], 2));
        let source = parse("int f(void) { if (!IS_ENABLED(CONFIG_X)) a(); else b(); }");
        let called = |value| -> Vec<&str> {
            let calls = source.calls(source.root()).into_iter();
            let live = calls.filter(|call| source.is_live(call.node, &config("X", value)));
            live.map(|call| call.callee).collect()
        };
        assert_eq!((called("y"), called("n")), (vec!["IS_ENABLED", "b"], vec!["IS_ENABLED", "a"]));
    }

    #[test]
    fn comments_and_white_space_are_no_words() {
        let (one, other) =
            (parse("int f(void)\n{\n\tg(); /* c */\n}\n"), parse("int f(void) { g(); // d\n}"));
        assert_eq!(one.words(one.root()), other.words(other.root()));
        assert_eq!(one.words_by_function(), other.words_by_function());
        let changed = parse("int f(void) { h(); }").words_by_function();
        assert_eq!(changed.outside, one.words_by_function().outside);
        assert_ne!(changed.functions, one.words_by_function().functions);
    }
}
