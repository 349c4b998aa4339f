//! Devices on top of others: VLANs, macvlans and ipvlans in each mode, MACsec, VRFs, VXLANs; with what is below them changed,
//! moved and deleted; and names.

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{run, run_all, run_many};
use workloads::traffic::{PORTS, broadcast};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, PORTS);
    above(it);
    renamed(it);
    // The network goes with this process, with all that is still in it.
}

/// Devices on top of one: each made, up, down, moved to another network with what is above it, and deleted below it.
fn above(it: &mut Exercise) {
    let _ = run("ip netns add other");
    for (kind, options, change) in [
        ("vlan", "id 5 reorder_hdr off gvrp on loose_binding on", "ingress-qos-map 1:2 egress-qos-map 2:3"),
        ("vlan", "protocol 802.1ad id 6", "nonsense 1"),
        ("macvlan", "mode private", "mode vepa"),
        ("macvlan", "mode source", "macaddr add 02:00:00:00:00:33"),
        ("macvlan", "mode passthru nopromisc", "mode bridge"),
        ("macvtap", "mode bridge", "bcqueuelen 100"),
        ("ipvlan", "mode l2", "mode l3s"),
        ("ipvlan", "mode l3 private", "mode l2 vepa"),
        ("ipvtap", "mode l3", "mode l2"),
        ("macsec", "sci 1 encrypt on", "replay on window 7"),
    ] {
        let name = format!("{kind} {options}");
        run_many(
            it,
            &name,
            &format!(
                "ip link set d0 up\nip link add link d0 name up0 type {kind} {options}\nip link set up0 up"
            ),
        );
        broadcast("up0");
        it.step(format!("{name}, {change}"), || run(&format!("ip link set up0 type {kind} {change}")));
        run_all(it, "ip link set up0 mtu 9999");
        run_many(
            it,
            &format!("{name}, the device below"),
            "ip link set d0 mtu 1280\nip link set d0 address 02:00:00:00:00:44\nip link set d0 down\nip link set d0 up\nip -d link show up0",
        );
        if kind == "macsec" {
            run_all(
                it,
                "ip macsec add up0 tx sa 0 pn 1 on key 01 0123456789abcdef0123456789abcdef
                 ip macsec add up0 rx port 1 address 02:00:00:00:00:55
                 ip macsec add up0 rx port 1 address 02:00:00:00:00:55 sa 0 pn 1 on key 02 0123456789abcdef0123456789abcdef
                 ip macsec set up0 tx sa 0 off
                 ip macsec show
                 ip macsec del up0 rx port 1 address 02:00:00:00:00:55 sa 0
                 ip macsec del up0 rx port 1 address 02:00:00:00:00:55
                 ip macsec del up0 tx sa 0",
            );
        }
        it.step(format!("{name} moves"), || run("ip link set up0 netns other"));
        it.step(format!("{name} gone with what is below"), || run("ip link del d0"));
        let _ = run("ip link add d0 type dummy");
    }
    run_all(
        it,
        "ip link add vrf9 type vrf table 9
         ip link set vrf9 up
         ip link set d0 master vrf9
         ip link set d0 up
         ip addr add 10.4.0.1/24 dev d0
         ip route show vrf vrf9
         ip link set d0 nomaster
         ip link del vrf9
         ip link add hsr9 type hsr slave1 d0 slave2 d1 supervision 5 version 1
         ip link set hsr9 up
         ip link set hsr9 name hsr8
         ip link set hsr8 name hsr9
         ip link add prp9 type hsr slave1 v0 slave2 d1 proto 1
         ip link del hsr9
         ip link add vxe type vxlan external vnifilter dstport 4790
         bridge vni add vni 10-20 dev vxe
         bridge vni show
         bridge vni del vni 10-20 dev vxe
         ip link del vxe
         ip link add vxg type vxlan id 9 group 239.9.9.9 dev d0 ttl 3 ageing 5 maxaddress 3 proxy rsc l2miss l3miss udpcsum gbp
         ip link set vxg up
         bridge fdb append 00:00:00:00:00:00 dev vxg dst 10.4.0.9
         bridge fdb append 00:00:00:00:00:00 dev vxg dst 10.4.0.8 port 5000 vni 3
         ip nexthop add id 1 via 10.4.0.2 fdb
         ip nexthop add id 2 group 1 fdb
         bridge fdb add 02:00:00:00:00:66 dev vxg nhid 2
         ip nexthop del id 2
         ip link del vxg
         ip link add veb type veb
         ip link add nk type netkit mode l2 peer name nkp
         ip link del nk
         ip netns del other",
    );
}

/// Names and addresses that are taken, too long, or patterns; in the middle of an up and down.
fn renamed(it: &mut Exercise) {
    for name in ["renamed", "d1", "lo", "a/b", "dd%d", "all", "default", "0123456789abcdef", "."] {
        it.step(format!("rename to {name}"), || run(&format!("ip link set d0 name {name}")));
        let _ = run(&format!("ip link set {name} name d0"));
        let _ = run("ip link set dd0 name d0");
    }
}
