//! Network devices of each kind, by the userland's tools: made, made twice, shown, changed, deleted; and a namespace that goes
//! with all that is in it.

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::run_all;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, DEVICES);
    run_all(it, SHOWN);
    run_all(it, CHANGED);
    // The network goes with this process, with all that is still in it.
}

const DEVICES: &str = "
    ip link set lo up
    ip link add d0 type dummy
    ip link add d1 numtxqueues 4 type dummy
    ip link set d0 up
    ip link set d1 address 02:00:00:00:00:01 mtu 1400 txqueuelen 10 up
    ip link set d1 mtu 99999999
    ip link add v0 type veth peer name v1
    ip link set v0 up
    ip link set v1 up
    ip link add br0 type bridge stp_state 1 vlan_filtering 1 mcast_snooping 1
    ip link set v1 master br0
    ip link set br0 up
    bridge vlan add dev v1 vid 10-12 pvid
    bridge fdb add 02:00:00:00:00:05 dev v1 master static
    bridge fdb add 02:00:00:00:00:05 dev v1 master static
    bridge mdb add dev br0 port v1 grp 239.1.1.1 permanent
    bridge link set dev v1 cost 10 hairpin on learning off
    bridge fdb del 02:00:00:00:00:05 dev v1 master
    ip link add bond0 type bond mode active-backup
    ip link set d1 down
    ip link set d1 master bond0
    ip link set bond0 up
    ip link set bond0 name bond9
    ip link set bond9 type bond mode 802.3ad
    ip link set d1 nomaster
    ip link set bond9 down
    ip link set bond9 type bond mode 802.3ad
    ip link set bond9 type bond no_such_option 1
    ip link set d1 up
    ip link add link d0 name d0.5 type vlan id 5
    ip link add link d0 name d0.5 type vlan id 5
    ip link add link d0 name mv0 type macvlan mode bridge
    ip link add link d0 name mt0 type macvtap
    ip link add link d1 name iv0 type ipvlan mode l3
    ip link add vx0 type vxlan id 7 dev d0 dstport 4789 group 239.1.1.2
    ip link add gn0 type geneve id 8 remote 10.0.0.9
    ip link add gre0a type gre local 10.0.0.1 remote 10.0.0.9 key 3
    ip link add gt0 type gretap local 10.0.0.1 remote 10.0.0.9
    ip link add six0 type sit local 10.0.0.1 remote 10.0.0.9
    ip link add ipip1 type ipip local 10.0.0.1 remote 10.0.0.8
    ip link add t6 type ip6tnl local fd00::1 remote fd00::9
    ip link add vti9 type vti local 10.0.0.1 remote 10.0.0.9 key 4
    ip link add xfrm7 type xfrm dev d0 if_id 7
    ip link add vrf1 type vrf table 77
    ip link set vrf1 up
    ip link add team0 type team
    ip link add ifb7 type ifb
    ip link add nlm0 type nlmon
    ip link add wg0 type wireguard
    ip link add d2 type dummy
    ip link add d3 type dummy
    ip link add hsr0 type hsr slave1 d2 slave2 d3
    ip link add link d0 name ms0 type macsec
    ip link add bare0 type bareudp dstport 6635 ethertype mpls_uc
    ip link add gtp9 type gtp
    ip link add can0 type vcan
    ip link add amt0 type amt discovery 10.0.0.1 mode gateway local 10.0.0.1 dev d0
    ip link add nk0 type netkit
    ip link add nope0 type no_such_kind
    ip tuntap add dev tun0 mode tun
    ip tuntap add dev tap0 mode tap multi_queue
    ip link set tap0 up
    ip link property add dev d0 altname a-long-alternative-name
    ip link set d0 alias something
    ip link set d0 group 5
    ip link set dev d0 xdp obj /no/such/file
    ip link set no-such-device up
    ethtool d0
    ethtool -i v0
    ethtool -k v0
    ethtool -K v0 tso off gro on
    ethtool -S v0
    ethtool -g v0
    ethtool -l v0
    ethtool -c v0
    ethtool --show-features no-such-device
";

const SHOWN: &str = "
    ip -d -s link show
    ip -s -s addr show
    ip route show table all
    ip -6 route show table all
    ip rule show
    ip -6 rule show
    ip -s neigh show
    ip nexthop show
    ip maddr show
    ip stats show
    bridge -d link show
    bridge -s fdb show
    bridge vlan show
    bridge mdb show
    tc qdisc show
    ss -a -e -i -m -n
    ip netns list
    ip vrf show
    devlink dev show
    tipc node list
";

const CHANGED: &str = "
    ip link set br0 name br0-renamed
    ip link set br0-renamed name br0
    ip link set vx0 name d0
    ip link set vx0 name vx0-renamed
    ip link set vx0-renamed name vx0
    ip link set d0.5 name d0.5-renamed
    ip link set d0.5-renamed name d0.5
    ip link set vrf1 name vrf1-renamed
    ip link set vrf1-renamed name vrf1
    ip link set team0 name team0-renamed
    ip link set wg0 name wg0-renamed
    ip link set hsr0 name hsr0-renamed
    ip link set tap0 name tap0-renamed
    ip link set v1 nomaster
    ip link set v1 master br0
    ip link del br0
    ip link del br0
    ip link set d0 down
    ip link set d0 up
    ip link del vx0
    ip link del d0.5
    ip link del v0
    ip link del bond9
    ip link del vrf1
    ip tuntap del dev tun0 mode tun
    ip addr flush dev d0
    ip link del d0
    ip netns add pp
    ip netns add pp
    ip netns set pp 5
    ip link add w0 type veth peer name w1 netns pp
    ip netns exec pp ip link set w1 up
    ip netns exec pp ip addr add 10.7.0.1/24 dev w1
    ip netns exec pp ip link add e0 type dummy
    ip netns exec pp ip route add unreachable 198.51.100.0/24
    ip netns exec pp nft add table ip t
    ip link set d1 netns pp
    ip netns del pp
    ip netns del pp
";
