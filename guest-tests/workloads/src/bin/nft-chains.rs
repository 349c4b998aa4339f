//! Chains of nftables, by nft: of each type at each hook of each family, in tables that sleep, wake and go with packets on
//! their way.

use std::net::UdpSocket;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{nft, nft_step, run_all};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(
        it,
        "ip link set lo up\nip link add d0 type dummy\nip link set d0 up\nip addr add 10.0.0.1/24 dev d0",
    );
    chains(it);
    // The network goes with this process, with all that is still in it.
}

/// Families, with the chains that there can be: types and hooks.
const CHAINS: [(&str, &[(&str, &str)]); 6] = [
    (
        "ip",
        &[
            ("filter", "prerouting input forward output postrouting"),
            ("nat", "prerouting input output postrouting"),
            ("route", "output"),
            ("filter", "ingress"),
        ],
    ),
    (
        "ip6",
        &[
            ("filter", "prerouting input forward output postrouting"),
            ("nat", "prerouting input output postrouting"),
            ("route", "output"),
            ("nat", "forward"),
        ],
    ),
    (
        "inet",
        &[
            ("filter", "prerouting input forward output postrouting"),
            ("nat", "prerouting input output postrouting"),
            ("filter", "ingress"),
            ("route", "input"),
        ],
    ),
    ("arp", &[("filter", "input output"), ("nat", "input")]),
    ("bridge", &[("filter", "prerouting input forward output postrouting"), ("route", "output")]),
    ("netdev", &[("filter", "ingress"), ("filter", "egress"), ("filter", "input")]),
];

/// Of each type at all its hooks, two of them at each, with packets; some are deleted, the others go with the table.
fn chains(it: &mut Exercise) {
    for (family, chains) in CHAINS {
        it.step(format!("table {family}"), || nft(&format!("add table {family} hooks")));
        for (kind, hooks) in chains {
            let mut lines = String::new();
            for hook in hooks.split(' ') {
                let device = if ["ingress", "egress"].contains(&hook) { "device d0" } else { "" };
                for number in 1..3 {
                    let chain = format!("{kind}-{hook}-{number}");
                    lines += &format!(
                        "add chain {family} hooks {chain} {{ type {kind} hook {hook} {device} priority {number} ; }}\n"
                    );
                    lines += &format!("add rule {family} hooks {chain} counter accept\n");
                }
            }
            let table = format!("add table {family} hooks");
            let made = nft_step(it, &format!("{family} {kind} at {hooks}"), &table, &lines);
            if made.is_some() {
                packet();
                let first = hooks.split(' ').next().unwrap_or_default();
                let lines = format!(
                    "flush chain {family} hooks {kind}-{first}-1\ndelete chain {family} hooks {kind}-{first}-1"
                );
                it.step(format!("{family} {kind} at {first} gone"), || nft(&lines));
            }
        }
        let lines = format!("add table {family} hooks {{ flags dormant ; }}");
        it.step(format!("table {family} sleeps"), || nft(&lines));
        let lines = format!("add table {family} hooks {{ }}\ndelete table {family} hooks");
        it.step(format!("table {family} wakes and goes"), || nft(&lines));
    }
}

fn packet() {
    let _ = UdpSocket::bind("10.0.0.1:0").and_then(|one| one.send_to(&[1; 50], "10.0.0.9:9"));
}
