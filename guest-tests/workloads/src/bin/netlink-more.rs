//! Netlink: each family of generic netlink with its policies and groups, nfnetlink, audit, crypto; good requests and those that lack what they need.

use std::collections::BTreeMap;
use std::io;

use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, CREATE, DUMP, EXCL, NetlinkMessage, Socket, attributes, generic, messages};
use workloads::sys::wrong;
use workloads::{errno, places};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own network", places::own_network);
    generic_families(it);
    netfilter(it);
    audit(it);
    crypto(it);
}

/// A family of generic netlink, by what the controller says of it.
struct Family {
    name: String,
    id: u16,
    operations: Vec<u32>,
    groups: Vec<u32>,
}

fn families(socket: &Socket) -> io::Result<Vec<Family>> {
    let answer = socket.ask(&generic(16, 3, DUMP))?;
    let mut all = Vec::new();
    for (_, _, body) in messages(&answer) {
        let mut family = Family { name: String::new(), id: 0, operations: vec![], groups: vec![] };
        let number = |value: &[u8]| value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let inner = |value: &[u8], wanted: u16| -> Vec<u32> {
            let entries = attributes(value).into_iter().flat_map(|(_, entry)| attributes(entry));
            entries.filter(|(kind, _)| *kind == wanted).map(|(_, value)| number(value)).collect()
        };
        for (kind, value) in attributes(body.get(4..).unwrap_or_default()) {
            match kind {
                1 => family.id = u16::from_ne_bytes(value.try_into().unwrap_or_default()),
                2 => family.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
                6 => family.operations = inner(value, 1),
                7 => family.groups = inner(value, 2),
                _ => {}
            }
        }
        all.push(family);
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    if all.is_empty() { wrong("no family") } else { Ok(all) }
}

fn generic_families(it: &mut Exercise) {
    let Some(socket) = it.step("generic socket", || Socket::open(16)) else { return };
    let Some(families) = it.step("families", || families(&socket)) else { return };
    it.step("no such family", || socket.ask(&generic(16, 3, ACK).text(2, "no-such-family")));
    for family in families {
        let Family { name, id, operations, groups } = family;
        it.step(format!("family {name}"), || socket.ask(&generic(16, 3, 0).text(2, &name)));
        it.step(format!("policy of {name}"), || {
            socket.ask(&generic(16, 10, DUMP).attribute(1, &id.to_ne_bytes()))
        });
        for group in groups {
            it.step(format!("group of {name}"), || socket.option(libc::NETLINK_ADD_MEMBERSHIP, group));
            let _ = socket.option(libc::NETLINK_DROP_MEMBERSHIP, group);
        }
        // Without the attributes that they need: a request that changes something without any does not exist.
        let mut ends = BTreeMap::<String, u32>::new();
        for operation in operations.iter().filter_map(|operation| u8::try_from(*operation).ok()) {
            for flags in [DUMP, ACK] {
                let end = socket.ask(&generic(id, operation, flags));
                let end = end.map_or_else(|error| errno::describe(&error), |_| "ok".to_owned());
                *ends.entry(end).or_default() += 1;
            }
        }
        let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        it.step(format!("{name}: {}", ends.join(" ")), || Ok(()));
    }
}

fn netfilter(it: &mut Exercise) {
    let Some(socket) = it.step("netfilter socket", || Socket::open(12)) else { return };
    // Subsystem and message; of each the first ones, as dump and by itself.
    for (name, subsystem, messages) in [
        ("ctnetlink", 1_u16, 8),
        ("ctnetlink_exp", 2, 4),
        ("queue", 3, 4),
        ("ulog", 4, 2),
        ("osf", 5, 2),
        ("ipset", 6, 14),
        ("acct", 7, 4),
        ("cttimeout", 8, 4),
        ("cthelper", 9, 3),
        ("nftables", 10, 30),
        ("nft_compat", 11, 1),
        ("hook", 12, 1),
        ("none", 40, 1),
    ] {
        for message in 0..messages {
            let kind = subsystem << 8 | message;
            for family in [2_u8, 10, 7, 1] {
                let body = [family, 0, 0, 0];
                let dump = || socket.ask(&NetlinkMessage::new(kind, DUMP, &body));
                let ask = || socket.ask(&NetlinkMessage::new(kind, ACK, &body));
                if family == 2 {
                    it.step(format!("{name} {message} dump"), dump);
                    it.step(format!("{name} {message}"), ask);
                } else {
                    let _ = it.untold(format!("{name} {message} dump {family}"), dump);
                    let _ = it.untold(format!("{name} {message} {family}"), ask);
                }
            }
        }
    }
    batch(it, &socket);
}

/// A transaction of nftables with a table that is made, and one that ends in an error and is undone.
fn batch(it: &mut Exercise, socket: &Socket) {
    let header = [0, 0, 0, 10];
    let begin = NetlinkMessage::new(16, 0, &header);
    let end = NetlinkMessage::new(17, 0, &header);
    let table = |flags| NetlinkMessage::new(10 << 8, flags | ACK, &[1, 0, 0, 0]).text(1, "pp");
    let delete = NetlinkMessage::new(10 << 8 | 2, ACK, &[1, 0, 0, 0]).text(1, "pp");
    let bad =
        NetlinkMessage::new(10 << 8 | 3, ACK | CREATE, &[1, 0, 0, 0]).text(1, "no-such-table").text(3, "c");
    for (name, messages) in [
        ("a table", vec![&begin, &table(CREATE), &end]),
        ("it again", vec![&begin, &table(CREATE | EXCL), &end]),
        ("one with a chain of no table", vec![&begin, &table(CREATE), &bad, &end]),
        ("no table any more", vec![&begin, &delete, &end]),
        ("none to be deleted", vec![&begin, &delete, &end]),
        ("no end", vec![&begin, &table(CREATE)]),
    ] {
        it.step(format!("nftables transaction: {name}"), || socket.ask_all(&messages));
    }
}

fn audit(it: &mut Exercise) {
    let Some(socket) = it.step("audit socket", || Socket::open(9)) else { return };
    // AUDIT_GET, LIST_RULES, SIGNAL_INFO, TTY_GET, GET_FEATURE, and none.
    for kind in [1000_u16, 1013, 1010, 1016, 1019, 1020] {
        it.step(format!("audit message {kind}"), || socket.ask(&NetlinkMessage::new(kind, ACK, &[])));
    }
    it.step("user message", || socket.ask(&NetlinkMessage::new(1005, ACK, b"hello\0")));
    it.step("bad rule", || socket.ask(&NetlinkMessage::new(1011, ACK, &[0xff; 1040])));
}

fn crypto(it: &mut Exercise) {
    let Some(socket) = it.step("crypto socket", || Socket::open(21)) else { return };
    let mut body = vec![0_u8; 212];
    body[..3].copy_from_slice(b"md5");
    for kind in [0x13_u16, 0x10, 0x11, 0x12, 0x14, 0x15] {
        it.step(format!("crypto message {kind:#x}"), || socket.ask(&NetlinkMessage::new(kind, ACK, &body)));
        if kind == 0x13 {
            it.step("crypto dump", || socket.ask(&NetlinkMessage::new(kind, DUMP, &vec![0; 212])));
        }
    }
}
