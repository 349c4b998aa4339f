//! `cargo xtask reply RUN`: a draft of the answer to the mail that the patch came in. Writes it to the run's directory, and sends
//! nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::builds;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::disk::write_whole;
use crate::host::{input, terminal};
use crate::report::Shown;
use crate::report::reply::{self, ReplyHeaders};
use failure::{Exit, Failure, Result, escape};
use patch::{Mailbox, Patch, addresses, message_ids};

/// Where git knows no user. Nothing is ever sent to it: example.org is set aside for such uses (RFC 2606).
const NO_NAME: &str = "YOUR NAME";
const NO_ADDRESS: &str = "you@example.org";

/// Writes the draft and says where it is.
///
/// # Errors
/// When the patch of the run was no mail, there is a draft already, or the disk does not take it.
pub fn reply(project: &Project, args: &cli::ReplyArgs) -> Result<Exit> {
    let dir = super::run_dir(project, &args.run)?;
    let report = super::report::read(project, &dir)?;
    let headers = headers(&report, &dir, user(&project.root))?;
    let file = dir.join("reply.mbox");
    if file.exists() {
        return Err(Failure::usage(format!("there is a draft already: {}", input::shown(&file)))
            .because("it may have changes made by hand, and they would be gone")
            .next(format!("remove it first: rm {}", input::shown(&file)))
            .next(format!("then: cargo xtask reply {}", builds::name(project, &dir))));
    }
    write_whole(&file, reply::mbox(&report, &headers).as_bytes())?;
    let mut said = format!("draft: {}\n", file.display());
    if headers.from.address == NO_ADDRESS {
        said.push_str("its From: is a placeholder, because git config has no user.name and user.email\n");
    }
    said.push_str(
        "nothing was sent: read it, change it, then `git send-email FILE`, or open it with `mutt -H FILE`\n",
    );
    terminal::print(&said)?;
    Ok(Exit::Ok)
}

/// To whom the answer to the mail under test goes.
fn headers(report: &Shown, dir: &Path, from: Mailbox) -> Result<ReplyHeaders> {
    let series = report.trees.first().and_then(|tree| super::report::tested(dir, &tree.name));
    let patch = series.as_ref().and_then(|series| series.patches.first());
    let Some((patch, id)) = patch.and_then(|patch| Some((patch, mail_id(patch)?))) else {
        return Err(Failure::usage(format!("{}: there is no mail to answer", input::shown(dir)))
            .because(format!("the patch is from {}, {}, and has no Message-ID", report.patch.source, report.patch.form))
            .next("give the mail itself to the matrix: on lore.kernel.org the `raw` link, or `b4 am`; then reply"));
    };
    let mut seen = BTreeSet::from([from.address.to_lowercase()]);
    let mut fresh = |value: Option<&String>| -> Vec<Mailbox> {
        let all = value.map(|value| addresses(value)).unwrap_or_default().into_iter();
        all.filter(|mailbox| seen.insert(mailbox.address.to_lowercase())).map(plain).collect()
    };
    let envelope = &patch.envelope;
    let mut to = fresh(envelope.reply_to.as_ref().or(patch.author.as_ref()));
    let mut cc = fresh(envelope.to.as_ref());
    cc.extend(fresh(envelope.cc.as_ref()));
    // Of a mail to and from oneself.
    if to.is_empty() {
        to = if cc.is_empty() { vec![from.clone()] } else { std::mem::take(&mut cc) };
    }
    let references = envelope.references.as_ref().or(envelope.in_reply_to.as_ref());
    Ok(ReplyHeaders {
        from,
        to,
        cc,
        subject: line(patch.subject.as_deref().unwrap_or("(no subject)")),
        message_id: id,
        references: references.map(|value| message_ids(value)).unwrap_or_default(),
        author: patch.author.as_deref().map(line),
        date: patch.date.as_deref().map(line),
    })
}

fn mail_id(patch: &Patch) -> Option<String> {
    message_ids(patch.message_id.as_deref()?).into_iter().next()
}

fn plain(mailbox: Mailbox) -> Mailbox {
    Mailbox { name: mailbox.name.as_deref().map(line), address: mailbox.address }
}

/// A header of a mail may hold anything.
fn line(text: &str) -> String {
    escape::line(text).into_owned()
}

/// Who git says that the user is.
fn user(dir: &Path) -> Mailbox {
    let config = |key: &str| {
        let output = Command::new("git").args(["config", key]).current_dir(dir).output().ok()?;
        let value = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(line(value.trim())).filter(|value| !value.is_empty())
    };
    match (config("user.name"), config("user.email").filter(|email| email.contains('@'))) {
        (Some(name), Some(address)) => Mailbox { name: Some(name), address },
        _ => Mailbox { name: Some(NO_NAME.to_owned()), address: NO_ADDRESS.to_owned() },
    }
}
