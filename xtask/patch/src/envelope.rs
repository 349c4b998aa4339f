//! Who a mail went to and what it answers: what a reply to it needs. Everything here is as long as it is in the mail, and a
//! header that is too long to be true is left out, because no patch depends on it. Pure.

use super::mime::{Headers, decoded};

/// As the headers have it, each on one line and otherwise as it was sent: encoded words are decoded by
/// [`addresses`] after the list is split, since a name may hold a comma.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Where answers go; if the mail does not say, who sent it.
    pub reply_to: Option<String>,
    pub to: Option<String>,
    pub cc: Option<String>,
    pub in_reply_to: Option<String>,
    pub references: Option<String>,
}

impl Envelope {
    pub(crate) fn of(headers: &Headers) -> Envelope {
        let value = |name: &str| headers.as_sent(name);
        Envelope {
            reply_to: value("reply-to").or_else(|| value("from")),
            to: value("to"),
            cc: value("cc"),
            in_reply_to: value("in-reply-to"),
            references: value("references"),
        }
    }

    /// Its headers with their names, in the order in which they are written.
    pub fn fields(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("Reply-To", &self.reply_to),
            ("To", &self.to),
            ("Cc", &self.cc),
            ("In-Reply-To", &self.in_reply_to),
            ("References", &self.references),
        ]
    }
}

/// A person or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<String>,
    pub address: String,
}

/// The mailboxes of a header's value. What is no address that a mail can be sent to is left out.
pub fn addresses(value: &str) -> Vec<Mailbox> {
    let line = [b"To: ", value.as_bytes(), b"\n"].concat();
    let parsed = mailparse::parse_header(&line).and_then(|(header, _)| mailparse::addrparse_header(&header));
    let Ok(list) = parsed else { return Vec::new() };
    let mut found = Vec::new();
    for one in list.into_inner() {
        match one {
            mailparse::MailAddr::Single(one) => found.push(one),
            mailparse::MailAddr::Group(group) => found.extend(group.addrs),
        }
    }
    let mailbox = |one: mailparse::SingleInfo| {
        let name = one.display_name.map(|name| decoded(name.as_bytes())).filter(|name| !name.is_empty());
        Mailbox { name, address: one.addr.trim().to_owned() }
    };
    found.into_iter().map(mailbox).filter(|mailbox| is_address(&mailbox.address)).collect()
}

/// One `@`, and nothing that ends an address or a header.
fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c);
    let parts = text.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && text.chars().all(plain)
}

/// The message ids in a header's value, each with its angle brackets.
pub fn message_ids(value: &str) -> Vec<String> {
    let is_id = |word: &&str| {
        let inner = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
        inner.is_some_and(|inner| inner.len() > 2 && inner.chars().all(|c| c.is_ascii_graphic() && c != '<'))
    };
    let spaced = value.replace("><", "> <");
    spaced.split_whitespace().filter(is_id).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let each = addresses(value).into_iter();
        each.map(|one| format!("{}|{}", one.name.unwrap_or_default(), one.address)).collect()
    }

    #[test]
    fn names_keep_their_commas_and_letters() {
        let value = "=?utf-8?q?D=C3=B6e=2C_J?= <j@x.org>, \"Roe, R\" <r@y.org>, linux-mm@kvack.org";
        assert_eq!(shown(value), ["Döe, J|j@x.org", "Roe, R|r@y.org", "|linux-mm@kvack.org"]);
        assert_eq!(shown("list: a@b.c, d@e.f;"), ["|a@b.c", "|d@e.f"]);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        assert_eq!(shown("undisclosed-recipients:;"), [""; 0]);
        assert_eq!(shown("a b c"), [""; 0]);
        assert_eq!(shown("<a@b@c>, <\"x y\"@z>, e@f.g"), ["|e@f.g"]);
    }

    #[test]
    fn message_ids_are_told_from_words() {
        assert_eq!(message_ids("<a@b>\n <c@d> (was) <> <e f>"), ["<a@b>", "<c@d>"]);
        assert_eq!(message_ids("<a@b><c@d>"), ["<a@b>", "<c@d>"]);
    }
}
