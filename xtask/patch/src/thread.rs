//! Which mails of a mailbox are the series: of several versions the newest one that is whole, in the order of its
//! numbers, without the replies. What is passed over is said. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Patch;
use failure::{Failure, Result};

/// What a subject says about a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub is_reply: bool,
    pub version: u32,
    /// `n/m`.
    pub number: Option<(u32, u32)>,
    pub title: String,
}

impl Tag {
    pub fn of(subject: &str) -> Tag {
        let mut rest = subject.trim();
        let mut tag = Tag { is_reply: false, version: 1, number: None, title: String::new() };
        loop {
            let reply = ["re:", "aw:", "sv:", "antw:", "fwd:", "fw:"]
                .into_iter()
                .find(|word| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
            if let Some(word) = reply {
                tag.is_reply |= !word.starts_with('f');
                rest = rest[word.len()..].trim_start();
                continue;
            }
            let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                break;
            };
            for word in inside.split([' ', ',']) {
                let lower = word.to_ascii_lowercase();
                let numbers =
                    word.split_once('/').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
                let version =
                    lower.trim_start_matches("patch").strip_prefix('v').and_then(|v| v.parse().ok());
                tag.number = numbers.or(tag.number);
                tag.version = version.unwrap_or(tag.version);
            }
            rest = after.trim_start();
        }
        tag.title = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        tag
    }
}

/// A mail that holds a patch, or the cover letter of a series.
#[derive(Debug)]
pub struct Mail {
    pub tag: Tag,
    pub message_id: Option<String>,
    pub author: Option<String>,
    /// None in a cover letter.
    pub patch: Option<Patch>,
}

impl Mail {
    fn name(&self) -> String {
        let by = self.author.as_ref().map_or(String::new(), |author| format!(" by {author}"));
        let title = if self.tag.title.is_empty() { "a mail without a subject" } else { &self.tag.title };
        format!("`{title}`{by}")
    }
}

/// The patches of the series in `mails`, and what was passed over.
///
/// # Errors
/// Rejected, when a patch of the series is missing, or it cannot be told which mails are the series.
pub fn series(mails: Vec<Mail>, source: &str) -> Result<(Vec<Patch>, Vec<String>)> {
    let mut notes = Vec::new();
    let (covers, mut mails): (Vec<Mail>, Vec<Mail>) =
        mails.into_iter().partition(|mail| mail.patch.is_none());
    drop_copies(&mut mails, &mut notes);
    if mails.iter().any(|mail| !mail.tag.is_reply) {
        let (replies, own): (Vec<Mail>, Vec<Mail>) = mails.into_iter().partition(|mail| mail.tag.is_reply);
        notes.extend(replies.iter().map(|mail| format!("passed over: a reply with a diff, {}", mail.name())));
        mails = own;
    }
    let versions: BTreeSet<u32> = mails.iter().map(|mail| mail.tag.version).collect();
    if versions.len() > 1 {
        mails = newest(mails, &covers, &versions, source, &mut notes)?;
    }
    if let [only] = &mails[..] {
        if let Some((number, total @ 2..)) = only.tag.number {
            notes.push(format!("patch {number} of a series of {total}{ALONE}"));
        }
    } else {
        in_order(&mut mails, source, &mut notes)?;
    }
    Ok((mails.into_iter().filter_map(|mail| mail.patch).collect(), notes))
}

const ALONE: &str = ", alone";

/// Whether a note says that the other patches of a series are not there.
pub fn is_about_one_alone(note: &str) -> bool {
    note.ends_with(ALONE)
}

/// A list sends the same mail once more to those who were named in it.
fn drop_copies(mails: &mut Vec<Mail>, notes: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    let before = mails.len();
    mails.retain(|mail| mail.message_id.clone().is_none_or(|id| seen.insert(id)));
    if mails.len() < before {
        notes.push(format!("passed over: {} mails that are there twice", before - mails.len()));
    }
}

/// The newest version of a series that is whole.
fn newest(
    mails: Vec<Mail>,
    covers: &[Mail],
    versions: &BTreeSet<u32>,
    source: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Mail>> {
    let titles = |version: u32| -> BTreeSet<&str> {
        let all = mails.iter().chain(covers).filter(|mail| mail.tag.version == version);
        all.map(|mail| mail.tag.title.as_str()).collect()
    };
    let list: Vec<u32> = versions.iter().copied().collect();
    let linked = list.windows(2).all(|pair| !titles(pair[0]).is_disjoint(&titles(pair[1])));
    if mails.iter().all(|mail| mail.tag.number.is_none()) {
        return Ok(newest_of_each(mails, notes));
    }
    if !linked {
        return Err(Failure::rejected(format!("{source}: it holds more than one series"))
            .because(format!("patches of the versions {list:?}, and no subject is in all of them"))
            .next("give the mails of one series alone, or each patch by an option of its own"));
    }
    let mut by_version: BTreeMap<u32, Vec<Mail>> = BTreeMap::new();
    for mail in mails {
        by_version.entry(mail.tag.version).or_default().push(mail);
    }
    let mut missing = String::new();
    while let Some((version, mails)) = by_version.pop_last() {
        match gap(&mails) {
            Some(why) => {
                notes.push(format!("passed over: version {version}, {why}"));
                missing = why;
            }
            None => {
                let older: Vec<String> = by_version.keys().map(u32::to_string).collect();
                if !older.is_empty() {
                    notes.push(format!("version {version}; passed over: version {}", older.join(", ")));
                }
                return Ok(mails);
            }
        }
    }
    Err(Failure::rejected(format!("{source}: no version of the series is whole")).because(missing))
}

/// Of single patches the newest version of each.
fn newest_of_each(mails: Vec<Mail>, notes: &mut Vec<String>) -> Vec<Mail> {
    let mut newest: BTreeMap<String, u32> = BTreeMap::new();
    for Mail { tag, .. } in &mails {
        let version = newest.entry(tag.title.clone()).or_default();
        *version = tag.version.max(*version);
    }
    let (kept, old): (Vec<Mail>, Vec<Mail>) =
        mails.into_iter().partition(|mail| newest.get(&mail.tag.title) == Some(&mail.tag.version));
    notes.extend(
        old.iter().map(|mail| format!("passed over: version {} of {}", mail.tag.version, mail.name())),
    );
    kept
}

/// What a series lacks, in words.
fn gap(mails: &[Mail]) -> Option<String> {
    let (_, total) = mails.iter().find_map(|mail| mail.tag.number)?;
    let numbers: BTreeSet<u32> = mails.iter().filter_map(|mail| mail.tag.number.map(|(n, _)| n)).collect();
    let missing = (1..=total.min(10_000)).find(|number| !numbers.contains(number))?;
    Some(format!("patch {missing}/{total} is missing"))
}

/// Sorts a series by its numbers, if all its mails have one.
fn in_order(mails: &mut [Mail], source: &str, notes: &mut Vec<String>) -> Result<()> {
    let numbers: Option<Vec<(u32, u32)>> = mails.iter().map(|mail| mail.tag.number).collect();
    // Mails without numbers are in the order of the mailbox.
    let Some(numbers) = numbers else { return Ok(()) };
    let distinct: BTreeSet<u32> = numbers.iter().map(|(number, _)| *number).collect();
    let totals: BTreeSet<u32> = numbers.iter().map(|(_, total)| *total).collect();
    if distinct.len() < numbers.len() || totals.len() > 1 {
        // Several series, one below the other: as they stand, if each of them is in order.
        let steps = numbers
            .windows(2)
            .all(|pair| pair[1] == (pair[0].0 + 1, pair[0].1) || pair[1].0 == 1 && pair[0].0 == pair[0].1);
        let whole =
            numbers.first().is_some_and(|first| first.0 == 1) && numbers.last().is_some_and(|(n, m)| n == m);
        return match steps && whole {
            true => Ok(()),
            false => Err(Failure::rejected(format!("{source}: it holds more than one series"))
                .next("give the mails of one series alone")),
        };
    }
    if let Some(why) = gap(mails) {
        return Err(Failure::rejected(format!("{source}: {why}"))
            .because("the series is tested as a whole, or each of its patches for itself"));
    }
    if !numbers.is_sorted() {
        notes.push("the patches are in the order of their numbers, not of the mailbox".to_owned());
        mails.sort_by_key(|mail| mail.tag.number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(subject: &str) -> (bool, u32, Option<(u32, u32)>, String) {
        let Tag { is_reply, version, number, title } = Tag::of(subject);
        (is_reply, version, number, title)
    }

    #[test]
    fn a_subject_says_version_and_number() {
        assert_eq!(tag("[PATCH v2 1/3] mm: x"), (false, 2, Some((1, 3)), "mm: x".into()));
        assert_eq!(tag("Re: [RFC PATCHv3 02/10] mm:  x"), (true, 3, Some((2, 10)), "mm: x".into()));
        assert_eq!(tag("[net-next,v4,1/2] x"), (false, 4, Some((1, 2)), "x".into()));
        assert_eq!(tag("[PATCH] [a/b] x"), (false, 1, None, "x".into()));
        assert_eq!(tag(""), (false, 1, None, String::new()));
        assert_eq!(tag("[PATCH"), (false, 1, None, "[PATCH".into()));
    }
}
