//! Addresses, neighbours, routes, nexthops, rules, endpoints of MPTCP, tunnels of L2TP and states of IPsec, by the userland's
//! tools: made, made twice, shown, replaced, deleted; and devices that go before what uses them.

use std::io;
use std::net::UdpSocket;

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
    run_all(it, ADDRESSES);
    run_all(it, ROUTES);
    it.step("to an unreachable place", || unreachable("198.51.100.1:9"));
    it.step("to a prohibited one", || unreachable("198.51.102.1:9"));
    run_all(it, GONE);
    // The network goes with this process, with all that is still in it.
}

const DEVICES: &str = "
    ip link set lo up
    ip link add d0 type dummy
    ip link add v0 type veth peer name v1
    ip link add br0 type bridge
    ip link set d0 up
    ip link set v0 up
    ip link set v1 up
    ip link set br0 up
";

const ADDRESSES: &str = "
    ip addr add 10.0.0.1/24 dev d0 broadcast 10.0.0.255 label d0:1
    ip addr add 10.0.0.1/24 dev d0
    ip addr add 10.0.1.1/24 dev v0 valid_lft 100 preferred_lft 50
    ip addr replace 10.0.1.1/24 dev v0 valid_lft 200 preferred_lft 100
    ip addr add 10.0.1.2/24 dev br0
    ip -6 addr add fd00::1/64 dev d0 nodad
    ip -6 addr add fd00:1::1/64 dev v0 mngtmpaddr noprefixroute valid_lft 1000 preferred_lft 500
    ip -6 addr add fd00:2::1/64 dev br0 home nodad
    ip -6 addr change fd00::1/64 dev d0 preferred_lft 10 valid_lft 20
    ip -6 addr del fd00:1::1/64 dev v0
    ip -6 addr del fd00:1::1/64 dev v0
    ip -6 addr add ff02::5/64 dev d0
    ip addr add 300.0.0.1/24 dev d0
    ip addr add 10.9.9.9/33 dev d0
    ip addr flush dev br0 label nothing
    ip neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev d0
    ip neigh replace 10.0.0.7 lladdr 02:00:00:00:00:08 dev d0 nud stale
    ip neigh add proxy 10.0.0.8 dev d0
    ip -6 neigh add fd00::7 lladdr 02:00:00:00:00:07 dev d0 nud permanent
    ip neigh get 10.0.0.7 dev d0
    ip neigh del 10.0.0.7 dev d0
    ip neigh del 10.0.0.7 dev d0
    ip maddr add 33:33:00:00:00:05 dev d0
    ip maddr del 33:33:00:00:00:05 dev d0
    ip addrlabel add prefix fd00::/16 label 99
    ip addrlabel del prefix fd00::/16 label 99
    ip token set ::7 dev v0
    ip netconf show
    ip ntable show
    ip ntable change name arp_cache dev d0 queue 8
    ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 2 encap ip local 10.0.0.1 remote 10.0.0.9
    ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4
    ip l2tp show tunnel
    ip l2tp del tunnel tunnel_id 1
    ip mptcp endpoint add 10.0.0.1 dev d0 signal
    ip mptcp endpoint add 10.0.1.1 subflow
    ip mptcp endpoint add 10.0.1.1 subflow
    ip mptcp limits set subflow 2 add_addr_accepted 2
    ip mptcp endpoint show
    ip mptcp endpoint change id 1 backup
    ip mptcp endpoint del id 1
    ip mptcp endpoint flush
    ip xfrm state add src 10.0.0.1 dst 10.0.0.9 proto esp spi 0x100 mode tunnel enc cipher_null 0x auth digest_null 0x
    ip xfrm policy add src 10.0.0.0/24 dst 10.3.0.0/24 dir out tmpl src 10.0.0.1 dst 10.0.0.9 proto esp mode tunnel
    ip xfrm state list
    ip xfrm policy list
    ip xfrm state flush
    ip xfrm policy flush
";

const ROUTES: &str = "
    ip route add 10.1.0.0/16 via 10.0.0.2
    ip route add 10.1.0.0/16 via 10.0.0.2
    ip route replace 10.1.0.0/16 via 10.0.0.3 mtu 1300 advmss 1200 initcwnd 4
    ip route append 10.1.0.0/16 via 10.0.0.4
    ip route add 10.2.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 10.0.1.9 dev v0
    ip route add unreachable 198.51.100.0/24
    ip route add blackhole 198.51.101.0/24 table 99
    ip route add prohibit 198.51.102.0/24
    ip route add throw 198.51.103.0/24
    ip route add 10.4.0.0/16 via 172.16.0.1
    ip route add 10.5.0.0/16 encap ip id 5 dst 10.0.0.9 dev d0
    ip route add local 10.6.0.1 dev lo
    ip route get 10.1.2.3
    ip route get 198.51.100.1
    ip route get fd00::5
    ip route get 10.1.2.3 from 10.0.0.1 iif v0
    ip nexthop add id 1 dev d0
    ip nexthop add id 2 via 10.0.0.2 dev d0
    ip nexthop add id 3 via 10.0.1.9 dev v0
    ip nexthop add id 3 via 10.0.1.9 dev v0
    ip nexthop add id 4 blackhole
    ip nexthop add id 5 group 2/3,2
    ip nexthop add id 6 group 2/3 type resilient buckets 8 idle_timer 1
    ip nexthop add id 7 group 99
    ip nexthop add id 8 via fd00::2 dev d0
    ip route add unreachable 203.0.113.0/24 nhid 1
    ip route add 203.0.112.0/24 nhid 5
    ip -6 route add fd05::/64 nhid 8
    ip nexthop replace id 2 via 10.0.0.5 dev d0
    ip nexthop bucket show id 6
    ip nexthop del id 1
    ip nexthop del id 1
    ip nexthop flush
    ip -6 route add fd01::/64 via fd00::2
    ip -6 route add fd02::/64 nexthop via fd00::2 nexthop via fd00::3
    ip -6 route replace fd02::/64 via fd00::4
    ip -6 route append fd02::/64 via fd00::5 dev d0
    ip -6 route add unreachable fd03::/64
    ip -6 route add fd04::/64 encap seg6 mode encap segs fd00::2 dev d0
    ip -6 route del fd02::/64
    ip -6 route del fd09::/64
    ip rule add from 10.0.0.0/24 table 99 priority 100
    ip rule add from 10.0.0.0/24 table 99 priority 100
    ip rule add fwmark 7 lookup 98 suppress_prefixlength 0
    ip rule add iif v0 unreachable
    ip rule add ipproto tcp dport 80-90 uidrange 0-10 table 97
    ip -6 rule add to fd00::/64 table 99
    ip rule del from 10.0.0.0/24 table 99
    ip rule del from 10.0.0.0/24 table 99
    ip route flush table 99
    ip route flush cache
    ip mroute show
    ip tcp_metrics show
    ip tcp_metrics flush
    ip ioam namespace add 5
    ip ioam namespace del 5
    ip sr tunsrc set fd00::1
    ip fou add port 5555 ipproto 4
    ip fou show
    ip fou del port 5555
";

fn unreachable(to: &str) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(&[1], to).map(drop)
}

const GONE: &str = "
    ip route show table all
    ip -6 route show table all
    ip rule show
    ip -6 rule show
    ip -s neigh show
    ip nexthop show
    ip maddr show
    ip link set d0 down
    ip link set d0 up
    ip link del v0
    ip addr flush dev d0
    ip link del d0
    ip route show table all
";
