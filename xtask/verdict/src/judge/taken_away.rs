//! Releases that a patch takes away and puts nowhere else: whether something is lost without them only a workload can tell in which
//! they did something. That the rest of the hunk is executed says nothing of that. Pure: changed lines in, sentences out.

use std::collections::BTreeSet;

use super::reach::HunkReach;
use crate::observe::Side;
use crate::subject::c_source::RELEASES;

/// What a word may end with, more before it, as in kfree(), dput(), irqrestore.
const ENDS: [&str; 5] = ["unlock", "put", "free", "destroy", "restore"];
const NO_RELEASES: [&str; 2] = ["input", "output"];

/// A sentence for each.
pub fn blind_to(hunks: &[HunkReach]) -> Vec<String> {
    let lines = || hunks.iter().flat_map(|hunk| hunk.lines.iter().map(move |reached| (hunk, &reached.line)));
    let added = lines().filter(|(_, line)| line.side == Side::Added);
    let kept: BTreeSet<&str> =
        added.flat_map(|(_, line)| line.text.split(|sign| !is_of_a_name(sign))).collect();
    let removed = lines().filter(|(_, line)| line.side == Side::Removed && line.statement.is_some());
    removed
        .filter_map(|(hunk, line)| {
            let text = line.text.trim();
            let callee = text.split_once('(')?.0.trim_end();
            (callee.chars().all(is_of_a_name) && is_release(callee) && !kept.contains(callee)).then(|| {
                format!(
                    "blind to what `{text}` did: hunk {} ({}) takes it away, {callee}() is called nowhere else in the patch, and \
                     nothing ends differently without it",
                    hunk.number, hunk.place
                )
            })
        })
        .collect()
}

fn is_of_a_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

fn is_release(callee: &str) -> bool {
    callee.split('_').any(|word| {
        RELEASES.contains(&word)
            || (!NO_RELEASES.contains(&word) && ENDS.iter().any(|end| word.ends_with(end)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::ReachState;
    use crate::judge::reach::LineReach;
    use crate::observe::ChangedLine;

    fn hunk(lines: &[(Side, &str)]) -> HunkReach {
        let line = |(side, text): &(Side, &str)| LineReach {
            line: ChangedLine {
                side: *side,
                number: 7,
                text: (*text).to_owned(),
                statement: Some((7, 7)),
                within: None,
            },
            state: ReachState::Gone,
        };
        HunkReach {
            number: 1,
            path: "fs/a.c".to_owned(),
            place: "fs/a.c:7".to_owned(),
            lines: lines.iter().map(line).collect(),
            uncounted: Vec::new(),
            state: ReachState::NoCode,
            around: Vec::new(),
            failures: 0,
        }
    }

    #[test]
    fn release_that_is_put_nowhere_else_is_told() {
        let told = |lines: &[(Side, &str)]| blind_to(&[hunk(lines)]).len();
        assert_eq!(told(&[(Side::Removed, "\tkfree(d->redirect);")]), 1);
        assert_eq!(told(&[(Side::Removed, "\tspin_unlock_irqrestore(&lock, flags);")]), 1);
        // Put elsewhere, given to a guard, or there still.
        assert_eq!(told(&[(Side::Removed, "\tkfree(a);"), (Side::Added, "\tkfree(b);")]), 0);
        assert_eq!(
            told(&[(Side::Removed, "\tkfree(a);"), (Side::Added, "\tchar *a __free(kfree) = NULL;")]),
            0
        );
        assert_eq!(told(&[(Side::Context, "\tkfree(a);")]), 0);
        // No release.
        for text in [
            "\tinput_report_key(dev);",
            "\tqueue_delayed_work(wq, w, 1);",
            "\treturn put(a);",
            "\ta = free_one(b);",
        ] {
            assert_eq!(told(&[(Side::Removed, text)]), 0, "{text}");
        }
    }
}
