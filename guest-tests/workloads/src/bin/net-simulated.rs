//! Simulated network hardware, with all that its driver offers: ports, queues, traps, regions, health reporters, offloads.

use std::fs;
use std::path::Path;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::run;
use workloads::walk::{self, FileWalk, write};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    let _ = places::mount("sysfs", "/tmp/net-sys", "");
    simulated(it);
    let _ = places::unmount("/tmp/net-sys");
    // The network goes with this process, with all that is still in it.
}

/// Hardware that is none: its bus makes devices with ports, queues, traps, regions and health reporters.
fn simulated(it: &mut Exercise) {
    let bus = Path::new("/sys/bus/netdevsim");
    if it.step("simulated device", || write(bus.join("new_device"), b"77 2 4")).is_none() {
        return;
    }
    it.step("the same again", || write(bus.join("new_device"), b"77 1"));
    it.step("one of no number", || write(bus.join("new_device"), b"junk"));
    let device = "netdevsim/netdevsim77";
    let lines = "
        dev show DEVICE
        dev info DEVICE
        dev eswitch show DEVICE
        dev eswitch set DEVICE mode switchdev
        dev eswitch set DEVICE mode legacy
        dev param show
        dev param set DEVICE name max_macs value 64 cmode driverinit
        dev param set DEVICE name test1 value true cmode driverinit
        dev param set DEVICE name no_such value 1 cmode runtime
        dev flash DEVICE file nothing
        port show
        port split DEVICE/0 count 2
        port function set DEVICE/0 hw_addr 02:00:00:00:00:01
        resource show DEVICE
        resource set DEVICE path IPv4/fib size 100
        resource set DEVICE path nonsense size 1
        region show
        region new DEVICE/dummy snapshot 5
        region dump DEVICE/dummy snapshot 5
        region read DEVICE/dummy snapshot 5 address 0 length 64
        region del DEVICE/dummy snapshot 5
        region del DEVICE/dummy snapshot 5
        health show
        health diagnose DEVICE reporter dummy
        health test DEVICE reporter dummy
        health dump show DEVICE reporter dummy
        health dump clear DEVICE reporter dummy
        health recover DEVICE reporter dummy
        health recover DEVICE reporter empty
        health set DEVICE reporter dummy grace_period 10
        trap show
        trap set DEVICE trap source_mac_is_multicast action trap
        trap group set DEVICE group l2_drops action drop
        trap policer set DEVICE policer 1 rate 1000 burst 128
        sb show
        sb pool show
        dpipe table show DEVICE
        rate show
        rate add DEVICE/group1
        rate set DEVICE/group1 tx_max 1mbit
        rate del DEVICE/group1
        linecard show
        dev reload DEVICE
        dev reload DEVICE action fw_activate
    ";
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.replace("DEVICE", device);
        it.step(format!("devlink {line}"), || run(&format!("devlink {line}")));
    }
    let how = FileWalk {
        write: true,
        keep: &["dev_take_snapshot", "break_health", "/fail_"],
        ..FileWalk::default()
    };
    walk::walk(it, "/sys/kernel/debug/netdevsim/netdevsim77", how);
    for (file, value) in [
        ("sriov_numvfs", "2"),
        ("sriov_numvfs", "0"),
        ("sriov_numvfs", "99"),
        ("new_port", "5"),
        ("new_port", "5"),
        ("del_port", "5"),
        ("del_port", "99"),
    ] {
        it.step(format!("simulated {file} := {value}"), || {
            write(bus.join("devices/netdevsim77").join(file), value.as_bytes())
        });
    }
    ports(it);
    it.step("no simulated device", || write(bus.join("del_device"), b"77"));
    it.step("no such simulated device", || write(bus.join("del_device"), b"77"));
}

/// What its ports offer.
fn ports(it: &mut Exercise) {
    let mut names: Vec<_> = fs::read_dir("/tmp/net-sys/bus/netdevsim/devices/netdevsim77/net")
        .map(|all| all.flatten().map(|one| one.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    it.step(format!("simulated, {} ports", names.len()), || Ok(()));
    let Some(name) = names.first() else { return };
    for line in PORT_LINES.lines().map(str::trim).filter(|line| !line.is_empty()) {
        it.step(format!("port: {line}"), || run(&line.replace("NAME", name)));
    }
}

const PORT_LINES: &str = "
    ip link set NAME up
    ip link set NAME vf 0 mac 02:00:00:00:00:09
    ip link set NAME mtu 1400
    ethtool NAME
    ethtool -i NAME
    ethtool -k NAME
    ethtool -K NAME hw-tc-offload on
    ethtool -g NAME
    ethtool -G NAME rx 128
    ethtool -a NAME
    ethtool -A NAME rx on
    ethtool -c NAME
    ethtool -C NAME rx-usecs 5
    ethtool -l NAME
    ethtool -L NAME combined 2
    ethtool -S NAME
    ethtool --show-fec NAME
    ethtool --set-fec NAME encoding rs
    ethtool -T NAME
    ethtool -x NAME
    ethtool --show-tunnels NAME
    ethtool --show-eee NAME
    ethtool -s NAME wol d
    tc qdisc add dev NAME clsact
    tc filter add dev NAME ingress protocol ip flower skip_sw dst_ip 10.0.0.1 action drop
    tc qdisc del dev NAME clsact
    tc qdisc add dev NAME root red limit 60000 min 5000 max 20000 avpkt 1000 burst 10
    tc qdisc del dev NAME root
    ip addr add 10.55.0.1/24 dev NAME
    ip route add 10.56.0.0/16 dev NAME
    ip nexthop add id 55 dev NAME
    ip nexthop del id 55
    ip link set NAME down
";
