//! Traffic between two networks by IPsec, in each mode and with transforms of each kind.

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{run, run_all, run_many};
use workloads::traffic::{EchoServer, NETWORKS, Transport, talk};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, NETWORKS);
    let Some(server) = it.step("a server in the other network", || EchoServer::start("peer")) else { return };
    ipsec(it);
    drop(server);
    it.step("the other network goes", || run("ip netns del peer"));
    // The network goes with this process, with all that is still in it.
}

/// A state for each direction and policies, in each mode.
fn ipsec(it: &mut Exercise) {
    let transforms = [
        ("esp", "transport", "enc ecb(cipher_null) \"\""),
        ("esp", "tunnel", "aead rfc4106(gcm(aes)) 0x0123456789abcdef0123456789abcdef01234567 128"),
        ("ah", "transport", "auth hmac(sha1) 0x0123456789abcdef0123456789abcdef01234567"),
        ("esp", "transport", "enc cbc(aes) 0x0123456789abcdef0123456789abcdef auth hmac(sha256) 0x0123"),
        ("comp", "transport", "comp deflate"),
    ];
    for (protocol, mode, algorithm) in transforms {
        let all = |options: &str, reverse: bool| {
            let mut lines = String::new();
            for (from, to, spi) in [("10.0.1.1", "10.0.1.2", 0x101), ("10.0.1.2", "10.0.1.1", 0x102)] {
                lines += &format!(
                    "ip {options} xfrm state add src {from} dst {to} proto {protocol} spi {spi} mode {mode} {algorithm}\n"
                );
                let out = (from == "10.0.1.1") != reverse;
                for direction in if out { &["out"][..] } else { &["in", "fwd"] } {
                    lines += &format!(
                        "ip {options} xfrm policy add src {from} dst {to} dir {direction} tmpl src {from} dst {to} proto {protocol} mode {mode}\n"
                    );
                }
            }
            lines.replace("ip  ", "ip ")
        };
        let name = format!("{protocol} in mode {mode}");
        run_many(it, &name, &all("", false));
        run_many(it, &format!("{name}, there"), &all("-n peer", true));
        let transports: &[_] =
            if protocol == "comp" { &[Transport::Udp] } else { &[Transport::Udp, Transport::Tcp] };
        for transport in transports.iter().copied() {
            it.step(format!("{transport:?} by {name}"), || talk(transport, "10.0.1.2", 2500));
        }
        let _ = std::fs::read("/proc/net/xfrm_stat");
        run_many(
            it,
            &format!("{name} shown and gone"),
            "ip -s xfrm state list\nip -s xfrm policy list\nip xfrm state count\nip xfrm policy flush\nip xfrm state flush",
        );
        run_many(
            it,
            &format!("{name} gone, there"),
            "ip -n peer xfrm policy flush\nip -n peer xfrm state flush",
        );
    }
}
