//! Finds the place of a control in the source of whatever version of the patch is under test: by functions and calls,
//! never by lines. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tree_sitter::Node;

use crate::subject::c_source::{CSource, Call, Config, Function, children};

/// The files that a search may look into, by path.
pub type CSources = BTreeMap<String, CSource>;

/// How a place is described, in `patches/places.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Place {
    /// The file that the search begins in.
    pub file: Option<String>,
    /// The call is in this function itself.
    #[serde(rename = "in")]
    pub in_function: Option<String>,
    /// The call is reached from this function through functions of the file or of files that the patch changes.
    pub from: Option<String>,
    /// Functions that the search does not enter.
    #[serde(default)]
    pub except: Vec<String>,
    /// One of these functions is called.
    #[serde(default)]
    pub call: Vec<String>,
    /// The statement with just these words.
    pub statement: Option<String>,
    /// The name of another place: what is meant is the statement beside that one, in the innermost block that reaches both.
    pub beside: Option<String>,
    /// The name of a place at which a callback is handed over, as the last argument: the call is reached from the callback.
    pub callback_of: Option<String>,
    /// What is meant is an empty function that the patch adds to a header.
    #[serde(default)]
    pub added_stub: bool,
}

/// One statement, call or function that a place stands for.
#[derive(Clone)]
pub struct Spot<'a> {
    pub path: &'a str,
    pub source: &'a CSource,
    /// The statement, or the function that is empty.
    pub node: Node<'a>,
    /// The call that the place names.
    pub call: Option<Node<'a>>,
    /// In the innermost block that reaches the other place too: the statement through which this one is reached, and that
    /// of the other.
    pub in_block: Option<(Node<'a>, Node<'a>)>,
}

/// What a place is looked for in.
pub struct Search<'a> {
    pub places: &'a BTreeMap<String, Place>,
    pub files: &'a CSources,
    /// The changed headers as they are without the patch.
    pub before: &'a CSources,
    pub config: &'a Config,
}

/// A function and a call in it, with the file it is in.
#[derive(Clone, Copy)]
struct SearchStep<'a> {
    path: &'a str,
    source: &'a CSource,
    call: Call<'a>,
}

/// Calls, each in the function that the one before it calls.
type Way<'a> = Vec<SearchStep<'a>>;

/// A kernel function that calls deeper than this, within the files of one patch, is none that a place is looked for in.
const DEPTH_MAX: usize = 8;
/// Ways that are followed: a file with more of them is not one that a place can be found in.
const WAYS_MAX: usize = 64;
/// A place that stands for more spots than these says too little.
const SPOTS_MAX: usize = 4;

impl<'a> Search<'a> {
    /// Everything that the place `name` stands for.
    ///
    /// # Errors
    /// In a sentence, when there is no such place in this source, or when there are too many.
    pub fn find(&self, name: &str) -> Result<Vec<Spot<'a>>, String> {
        let place = self.places.get(name).ok_or_else(|| format!("there is no place `{name}`"))?;
        let mut spots = match place {
            Place { added_stub: true, .. } => self.added_stubs(),
            Place { statement: Some(words), .. } => self.statements(place, words)?,
            Place { beside: Some(other), .. } => self.beside(place, other)?,
            _ => self.ways(place)?.iter().filter_map(|way| way.last()).filter_map(spot_of_call).collect(),
        };
        let mut seen = BTreeSet::new();
        spots.retain(|spot| seen.insert((spot.path, spot.node.id())));
        match spots.len() {
            0 => Err(self.describe_absence(place)),
            count if count > SPOTS_MAX => Err(format!("{count} places fit")),
            _ => Ok(spots),
        }
    }

    fn describe_absence(&self, place: &Place) -> String {
        let others = match place.call.len() {
            0 | 1 => String::new(),
            count => format!(" or any of {} others", count - 1),
        };
        let calls = format!("{}(){others}", place.call.first().map_or("", String::as_str));
        match place {
            Place { added_stub: true, .. } => "the patch adds no empty function to a header".to_owned(),
            Place { statement: Some(words), .. } => format!("no statement `{words}` is compiled"),
            Place { in_function: Some(name), .. } => format!("{name}() does not call {calls}"),
            Place { from: Some(name), .. } => format!("{name}() does not get to {calls}"),
            _ => format!("nothing calls {calls}"),
        }
    }

    /// Every live way from where the place begins to one of its calls.
    fn ways(&self, place: &Place) -> Result<Vec<Way<'a>>, String> {
        let starts = match (&place.callback_of, &place.from, &place.in_function) {
            (Some(handed_over), ..) => self.callbacks(handed_over)?,
            (None, Some(name), _) | (None, None, Some(name)) => vec![name.clone()],
            (None, None, None) => Vec::new(),
        };
        let mut ways = Vec::new();
        for start in &starts {
            let mut functions = self.functions(start);
            if let Some(file) = &place.file {
                functions.retain(|(path, ..)| path == file);
            }
            if functions.is_empty() {
                let file = place.file.as_deref().unwrap_or("the files that the patch changes");
                return Err(format!("no function {start}() is compiled in {file}"));
            }
            for (path, source, function) in functions {
                self.follow(
                    place,
                    (path, source, function),
                    &mut vec![start.clone()],
                    &mut Vec::new(),
                    &mut ways,
                );
            }
        }
        Ok(ways)
    }

    fn follow(
        &self,
        place: &Place,
        (path, source, function): (&'a str, &'a CSource, Function<'a>),
        names: &mut Vec<String>,
        way: &mut Way<'a>,
        ways: &mut Vec<Way<'a>>,
    ) {
        for call in source.calls(function.body) {
            if ways.len() >= WAYS_MAX || !source.is_live(call.node, self.config) {
                continue;
            }
            way.push(SearchStep { path, source, call });
            if place.call.iter().any(|name| name == call.callee) || self.macro_calls(call.callee, &place.call)
            {
                ways.push(way.clone());
            } else if place.in_function.is_none()
                && names.len() < DEPTH_MAX
                && !place.except.iter().chain(&*names).any(|name| name == call.callee)
            {
                names.push(call.callee.to_owned());
                for next in self.functions(call.callee) {
                    self.follow(place, next, names, way, ways);
                }
                names.pop();
            }
            way.pop();
        }
    }

    /// The live functions of this name.
    fn functions(&self, name: &str) -> Vec<(&'a str, &'a CSource, Function<'a>)> {
        let mut found = Vec::new();
        for (path, source) in self.files {
            let functions = source.functions().into_iter();
            let live = functions.filter(|f| f.name == name && source.is_live(f.body, self.config));
            found.extend(live.map(|function| (path.as_str(), source, function)));
        }
        found
    }

    /// Whether `name` is a macro that calls one of `wanted`.
    fn macro_calls(&self, name: &str, wanted: &[String]) -> bool {
        let mut bodies = self.files.values().flat_map(CSource::macros).filter(|(found, _)| *found == name);
        bodies.any(|(_, body)| {
            let before_brackets = body.split('(').map(|part| {
                part.trim_end()
                    .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default()
            });
            before_brackets.into_iter().any(|word| wanted.iter().any(|name| name == word))
        })
    }

    /// The functions that are handed over at the place `name`.
    fn callbacks(&self, name: &str) -> Result<Vec<String>, String> {
        let spots = self.find(name)?;
        let last = |spot: &Spot<'a>| Some((*spot.source.arguments(spot.call?).last()?).to_owned());
        Ok(spots.iter().filter_map(last).collect())
    }

    fn statements(&self, place: &Place, words: &str) -> Result<Vec<Spot<'a>>, String> {
        let name = place.in_function.as_deref().unwrap_or_default();
        let mut spots = Vec::new();
        let wanted: String = words.split_whitespace().collect();
        for (path, source, function) in self.functions(name) {
            let nodes = crate::subject::c_source::descendants(function.body).into_iter();
            let fits = |node: &Node<'a>| {
                node.kind() == "expression_statement"
                    && source.words(*node).split_whitespace().collect::<String>() == wanted
                    && source.is_live(*node, self.config)
            };
            spots.extend(nodes.filter(fits).map(|node| Spot {
                path,
                source,
                node,
                call: None,
                in_block: None,
            }));
        }
        Ok(spots)
    }

    /// The statements with the calls through which the place is reached, in the function that reaches the place `other` too.
    fn beside(&self, place: &Place, other: &str) -> Result<Vec<Spot<'a>>, String> {
        let other_place = self.places.get(other).ok_or_else(|| format!("there is no place `{other}`"))?;
        let (ways, others) = (self.ways(place)?, self.ways(other_place)?);
        if ways.is_empty() {
            return Err(self.describe_absence(place));
        }
        let mut spots = Vec::new();
        for way in &ways {
            let nearest = others.iter().max_by_key(|other| common(way, other));
            let Some(nearest) = nearest else { return Err(self.describe_absence(other_place)) };
            let at = common(way, nearest);
            let (Some(step), Some(other_step)) = (way.get(at), nearest.get(at)) else { continue };
            if step.path != other_step.path {
                continue;
            }
            let in_block = in_one_block(step.call.node, other_step.call.node);
            spots.extend(
                spot_of_call(step).filter(|_| in_block.is_some()).map(|spot| Spot { in_block, ..spot }),
            );
        }
        match spots.is_empty() {
            true => Err("what is waited for and what is done then are in no common block".to_owned()),
            false => Ok(spots),
        }
    }

    /// The live empty functions of changed headers that are not in these headers without the patch.
    fn added_stubs(&self) -> Vec<Spot<'a>> {
        let mut spots = Vec::new();
        for (path, source) in self.files.iter().filter(|(path, _)| path.ends_with(".h")) {
            let before = self.before.get(path).map(CSource::declared).unwrap_or_default();
            for function in source.functions() {
                let is_new = self.before.contains_key(path) && !before.contains(&function.name);
                if is_new && function.is_empty() && source.is_live(function.body, self.config) {
                    let node = function.body.parent().unwrap_or(function.body);
                    spots.push(Spot { path, source, node, call: None, in_block: None });
                }
            }
        }
        spots
    }
}

/// The innermost statement that the call is in.
fn spot_of_call<'a>(step: &SearchStep<'a>) -> Option<Spot<'a>> {
    let mut node = step.call.node;
    while !is_statement(node) {
        node = node.parent()?;
    }
    Some(Spot { path: step.path, source: step.source, node, call: Some(step.call.node), in_block: None })
}

fn is_statement(node: Node<'_>) -> bool {
    node.kind().ends_with("_statement") || node.kind() == "declaration"
}

/// How many calls two ways have in common.
fn common(one: &Way<'_>, other: &Way<'_>) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(a, b)| a.call.node.id() == b.call.node.id() && a.path == b.path)
        .count()
}

pub fn is_block(node: Node<'_>) -> bool {
    matches!(node.kind(), "compound_statement" | "case_statement") || node.kind().starts_with("preproc_")
}

/// The statements of the innermost block around both nodes that these are in.
fn in_one_block<'a>(one: Node<'a>, other: Node<'a>) -> Option<(Node<'a>, Node<'a>)> {
    let mut inner = one;
    loop {
        let block = inner.parent()?;
        let holds_both = block.start_byte() <= other.start_byte() && other.end_byte() <= block.end_byte();
        if is_block(block) && holds_both {
            let beside = children(block).into_iter().find(|node| {
                node.start_byte() <= other.start_byte() && other.end_byte() <= node.end_byte()
            })?;
            return (beside.id() != inner.id()).then_some((inner, beside));
        }
        inner = block;
    }
}
