//! Bonds in each mode, with each kind of port, by netlink and by sysfs: ports come, change and go while packets are on their
//! way.

use std::fs;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{run, run_all, run_many};
use workloads::traffic::{PORTS, broadcast};
use workloads::walk::{self, FileWalk, write};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, PORTS);
    let _ = places::mount("sysfs", "/tmp/net-sys", "");
    bonds(it);
    let _ = places::unmount("/tmp/net-sys");
    // The network goes with this process, with all that is still in it.
}

const BOND_MODES: [(&str, &str); 7] = [
    ("balance-rr", "packets_per_slave 2"),
    ("active-backup", "primary_reselect better fail_over_mac active"),
    ("balance-xor", "xmit_hash_policy layer3+4"),
    ("broadcast", "miimon 100"),
    ("802.3ad", "lacp_rate fast ad_select bandwidth xmit_hash_policy layer2+3 min_links 1"),
    ("balance-tlb", "tlb_dynamic_lb 0"),
    ("balance-alb", "miimon 50 updelay 100 downdelay 100"),
];

fn bonds(it: &mut Exercise) {
    for (mode, options) in BOND_MODES {
        run_many(
            it,
            &format!("bond in mode {mode}"),
            &format!("ip link add bo type bond mode {mode} {options}"),
        );
        run_many(
            it,
            &format!("ports of a bond in mode {mode}"),
            "ip link set d0 master bo\nip link set d1 master bo\nip link set v0 master bo\nip link set bo up\nip link set v0 up",
        );
        broadcast("bo");
        run_many(it, &format!("what a bond in mode {mode} says"), "ip -d link show bo\nip -s link show bo");
        let _ = fs::read("/proc/net/bonding/bo");
        if ["active-backup", "802.3ad"].contains(&mode) {
            let how = FileWalk { write: true, ..FileWalk::default() };
            walk::walk(it, "/tmp/net-sys/class/net/bo/bonding", how);
        }
        run_many(
            it,
            &format!("ports of a bond in mode {mode} change"),
            "ip link set d0 down\nip link set d0 up\nip link set bo mtu 1300\nip link set bo address 02:00:00:00:00:77\nip link set bo promisc on\nip link set bo allmulticast on\nip link set bo promisc off\nip link set d1 nomaster\nip link set bo nomaster\nip link set bo down\nip link set bo name renamed\nip link set renamed name bo\nip link set bo up\nip link set bo type bond resend_igmp 3\nip link set d0 type bond_slave queue_id 1\nip link del bo",
        );
    }
    // A first port that is of no Ethernet, and one that has no address to be set.
    for mode in ["active-backup", "802.3ad"] {
        let _ = run(&format!("ip link add bo type bond mode {mode}"));
        it.step(format!("a port of another type in mode {mode}"), || run("ip link set ib0 master bo"));
        let _ = run("ip link set d0 master bo");
        let _ = run("ip link del bo");
    }
    run_all(it, BAD);
    it.step("bond by sysfs", || write("/tmp/net-sys/class/net/bonding_masters", b"+bo"));
    for (file, value) in [
        ("slaves", "+d0"),
        ("slaves", "+nothing"),
        ("slaves", "-d0"),
        ("slaves", "-d0"),
        ("mode", "5"),
        ("mode", "junk"),
        ("arp_ip_target", "+10.0.0.3"),
        ("arp_ip_target", "-10.0.0.3"),
        ("ns_ip6_target", "+fd00::3"),
        ("queue_id", "d0:1"),
    ] {
        it.step(format!("bond {file} := {value}"), || {
            write(format!("/tmp/net-sys/class/net/bo/bonding/{file}"), value.as_bytes())
        });
    }
    it.step("no bond by sysfs", || write("/tmp/net-sys/class/net/bonding_masters", b"-bo"));
    it.step("no such bond by sysfs", || write("/tmp/net-sys/class/net/bonding_masters", b"-bo"));
}

/// Options that exclude each other, or that there are not; and a bond in a bond.
const BAD: &str = "
    ip link add bo type bond mode nonsense
    ip link del bo
    ip link add bo type bond mode 1 arp_interval 100 arp_ip_target 10.0.0.9 arp_validate all
    ip link del bo
    ip link add bo type bond mode 4 arp_interval 100
    ip link del bo
    ip link add bo type bond mode 0 primary d0
    ip link del bo
    ip link add bo type bond mode 4 ad_actor_system 01:00:00:00:00:00
    ip link del bo
    ip link add bo type bond mode 1 miimon 100 peer_notif_delay 150
    ip link del bo
    ip link add bo type bond
    ip link add bp type bond
    ip link set bp master bo
    ip link set bo master bp
    ip link set bo master bo
    ip link del bp
    ip link del bo
";
