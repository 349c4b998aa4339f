//! Teams and bridges: ports that come and go, each option of a port, what a bridge knows, and packets on their way.

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
    teams(it);
    bridges(it);
    // The network goes with this process, with all that is still in it.
}

fn teams(it: &mut Exercise) {
    if it.step("team", || run("ip link add te type team")).is_none() {
        return;
    }
    run_many(it, "ports of a team", "ip link set d0 master te\nip link set d1 master te\nip link set te up");
    broadcast("te");
    let _ = run("ip -d link show te");
    it.step("a team in a team", || run("ip link set te master te"));
    run_many(it, "a port leaves a team", "ip link set d0 nomaster\nip link set te mtu 1300\nip link del te");
}

fn bridges(it: &mut Exercise) {
    run_many(
        it,
        "bridge",
        "ip link add brx type bridge vlan_filtering 1 stp_state 1 forward_delay 200 ageing_time 1000 mcast_snooping 1 mcast_querier 1 mcast_igmp_version 3 mcast_mld_version 2 vlan_stats_enabled 1 nf_call_iptables 1\nip link set brx up",
    );
    run_many(
        it,
        "ports of a bridge",
        "ip link set d0 master brx\nip link set d1 master brx\nip link set v0 master brx\nip link set d0 up\nip link set d1 up\nip link set v0 up",
    );
    broadcast("brx");
    let options: String =
        PORT_OPTIONS.iter().map(|option| format!("bridge link set dev d0 {option}\n")).collect();
    run_all(it, &options);
    run_all(
        it,
        "bridge vlan add dev d0 vid 10-20 pvid untagged
         bridge vlan add dev brx vid 10 self
         bridge vlan add dev d0 vid 5000
         bridge vlan set dev d0 vid 10 state forwarding
         bridge vlan global set dev brx vid 10 mcast_snooping 1
         bridge vlan global show
         bridge -s vlan show
         bridge mdb add dev brx port d0 grp 239.2.2.2 src 10.0.0.3 permanent vid 10
         bridge mdb add dev brx port d0 grp ff0e::5 filter_mode include source_list fd00::1
         bridge mdb add dev brx port d0 grp 10.0.0.1
         bridge mdb replace dev brx port d0 grp 239.2.2.2 src 10.0.0.3 temp vid 10
         bridge -d mdb show
         bridge mdb del dev brx port d0 grp 239.2.2.2 src 10.0.0.3 vid 10
         bridge fdb add 02:00:00:00:00:05 dev d0 master static vlan 10
         bridge fdb replace 02:00:00:00:00:05 dev d1 master dynamic vlan 10
         bridge fdb append 02:00:00:00:00:06 dev d0 master
         bridge fdb get 02:00:00:00:00:05 br brx vlan 10
         bridge fdb flush dev d0
         bridge fdb del 02:00:00:00:00:09 dev d0 master
         bridge -s fdb show dev d0
         ip link set brx type bridge mcast_vlan_snooping 1
         ip link set brx type bridge vlan_protocol 802.1ad
         ip link set brx type bridge vlan_filtering 0
         ip link set brx type bridge vlan_default_pvid 5
         ip link set brx type bridge group_fwd_mask 8
         ip link set brx type bridge mcast_router 2 fdb_flush
         ip link set brx type bridge stp_state 0
         ip link set v0 type bridge_slave fdb_flush mcast_router 2
         ip link set brx type bridge nonsense 1
         ip -d -s link show brx
         ip link set brx down
         ip link set brx up
         ip link set d0 nomaster
         ip link del d1
         ip link add d1 type dummy
         ip link del brx",
    );
}

const PORT_OPTIONS: [&str; 20] = [
    "learning off",
    "hairpin on",
    "guard on",
    "root_block on",
    "fastleave on",
    "neigh_suppress on",
    "isolated on",
    "mcast_flood off",
    "bcast_flood off",
    "mcast_to_unicast on",
    "priority 7",
    "cost 99",
    "state 1",
    "mab on",
    "locked on",
    "vlan_tunnel on",
    "backup_port d1",
    "mcast_max_groups 3",
    "learning_sync on",
    "nonsense 1",
];
