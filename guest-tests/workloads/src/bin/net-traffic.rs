//! Traffic between two networks: each transport over IPv4 and IPv6, and through tunnels of each kind.

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
    transports(it);
    tunnels(it);
    drop(server);
    it.step("the other network goes", || run("ip netns del peer"));
    // The network goes with this process, with all that is still in it.
}

fn transports(it: &mut Exercise) {
    for transport in Transport::ALL {
        for host in ["10.0.0.2", "fd00::2", "10.0.1.2"] {
            it.step(format!("{transport:?} to {host}"), || talk(transport, host, 1000));
        }
        let much = if transport == Transport::Udp { 20_000 } else { 60_000 };
        it.step(format!("much by {transport:?}"), || talk(transport, "10.0.0.2", much));
    }
}

/// Kind, options here, options there.
const TUNNELS: [(&str, &str); 12] = [
    ("ipip", "local HERE remote THERE"),
    ("gre", "local HERE remote THERE key 5 csum seq"),
    ("gretap", "local HERE remote THERE"),
    ("sit", "local HERE remote THERE"),
    ("vxlan", "id 7 local HERE remote THERE dstport 4789"),
    ("geneve", "id 8 remote THERE"),
    ("erspan", "local HERE remote THERE seq key 6 erspan_ver 1 erspan 9"),
    ("bareudp", "dstport 6635 ethertype ipv4"),
    ("ip6tnl", "local HERE6 remote THERE6 mode any"),
    ("ip6gre", "local HERE6 remote THERE6 key 7"),
    ("ip6gretap", "local HERE6 remote THERE6"),
    ("vti", "local HERE remote THERE key 8"),
];

fn tunnels(it: &mut Exercise) {
    for (kind, options) in TUNNELS {
        let here = options.replace("THERE6", "fd00::2").replace("HERE6", "fd00::1");
        let here = here.replace("THERE", "10.0.0.2").replace("HERE", "10.0.0.1");
        let there = options.replace("THERE6", "fd00::1").replace("HERE6", "fd00::2");
        let there = there.replace("THERE", "10.0.0.1").replace("HERE", "10.0.0.2");
        let sit = kind == "sit";
        let addresses = if sit {
            ("fd09::1/64", "fd09::2/64", "fd09::2")
        } else {
            ("10.9.0.1/24", "10.9.0.2/24", "10.9.0.2")
        };
        run_many(
            it,
            &format!("tunnel {kind}"),
            &format!(
                "ip link add t0 type {kind} {here}\nip addr add {} dev t0\nip link set t0 up",
                addresses.0
            ),
        );
        run_many(
            it,
            &format!("tunnel {kind}, there"),
            &format!(
                "ip -n peer link add t0 type {kind} {there}\nip -n peer addr add {} dev t0\nip -n peer link set t0 up",
                addresses.1
            ),
        );
        // An address of IPv6 is not there at once.
        let transport = if sit { Transport::Udp } else { Transport::Tcp };
        let talked = || talk(transport, addresses.2, 3000);
        if sit {
            let _ = it.untold(format!("through {kind}"), talked);
        } else {
            it.step(format!("through {kind}"), talked);
        }
        run_many(
            it,
            &format!("tunnel {kind} changed and gone"),
            "ip link set t0 mtu 1200\nip link set t0 down\nip link set t0 up\nip link del t0",
        );
        let _ = run("ip -n peer link del t0");
    }
}
