//! Generic netlink: each command of each family with the attributes that its own policy names. What a family takes is
//! asked of the kernel (net/netlink/policy.c), so that a family that nobody thought of is exercised like the others.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use workloads::errno;
use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, DUMP, NetlinkMessage, Socket, attributes, device_index, generic, messages};
use workloads::tools::run_all;
use workloads::{places, sys};

/// What these say holds for the whole machine, and cannot be asked back: how packets are labelled, and how many threads a
/// server has.
const LEFT_ALONE: [&str; 3] = ["NLBL_", "nfsd", "nlctrl"];

/// No more of one family; so that one that has hundreds of commands leaves time for others.
const FAMILY_LIMIT: Duration = Duration::from_secs(4);
const DEPTH_MAX: usize = 3;
/// Attributes that are sent one by one, with the first one, which tells what it is about.
const SINGLE: usize = 10;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    // Some families there are only in the network that the guest began with.
    let Some(first) = it.step("generic socket", || Socket::open(16)) else { return };
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(
        it,
        "ip link set lo up\nip link add d0 type dummy\nip link set d0 up\nip addr add 10.0.0.1/24 dev d0",
    );
    run_all(
        it,
        "ip link add wg0 type wireguard\nip link add team0 type team\nip link add link d0 name ms0 type macsec",
    );
    let Some(inner) = it.step("generic socket of its own network", || Socket::open(16)) else { return };
    let Some(here) = it.step("families", || named(&inner)) else { return };
    let there = named(&first).unwrap_or_default();
    for (name, id) in &here {
        family(it, &inner, name, *id);
    }
    for (name, id) in there.iter().filter(|(name, _)| !here.contains_key(*name)) {
        family(it, &first, name, *id);
    }
    if let Some(id) = there.get("NET_DM") {
        drop_monitor(it, &first, *id);
    }
    // The network goes with this process, with all that is still in it.
}

fn named(socket: &Socket) -> io::Result<BTreeMap<String, u16>> {
    let answer = socket.ask(&generic(16, 3, DUMP))?;
    let mut all = BTreeMap::new();
    for (_, _, body) in messages(&answer) {
        let found = attributes(body.get(4..).unwrap_or_default());
        let of = |wanted: u16| found.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        if let (Some(id), Some(name)) = (of(1).and_then(|value| value.first_chunk()), of(2)) {
            let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            all.insert(name, u16::from_ne_bytes(*id));
        }
    }
    Ok(all)
}

/// An attribute as the policy has it: NL_POLICY_TYPE_ATTR_*.
#[derive(Debug, Clone, Copy, Default)]
struct AttributePolicy {
    kind: u32,
    least: u64,
    most: u64,
    bytes_least: u32,
    bytes_most: u32,
    below: u32,
}

/// By number of the policy, then of the attribute.
type Policies = BTreeMap<u16, BTreeMap<u16, AttributePolicy>>;

/// The commands, each with the number of the policy of its attributes where it has one; and the policies.
fn policies(socket: &Socket, id: u16) -> io::Result<(BTreeMap<u16, Option<u16>>, Policies)> {
    let answer = socket.ask(&generic(16, 10, DUMP).attribute(1, &id.to_ne_bytes()))?;
    let (mut commands, mut policies) = (BTreeMap::new(), Policies::new());
    for (_, _, body) in messages(&answer) {
        for (kind, value) in attributes(body.get(4..).unwrap_or_default()) {
            // CTRL_ATTR_POLICY, CTRL_ATTR_OP_POLICY.
            match kind {
                9 => {
                    for (command, of) in attributes(value) {
                        let policy = attributes(of).first().map(|(_, value)| number(value) as u16);
                        commands.insert(command, policy);
                    }
                }
                8 => {
                    for (policy, of) in attributes(value) {
                        for (attribute, properties) in attributes(of) {
                            let one = properties_of(properties);
                            policies.entry(policy).or_default().insert(attribute, one);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok((commands, policies))
}

fn number(value: &[u8]) -> u64 {
    match (value.first_chunk(), value.first_chunk()) {
        (Some(eight), _) => u64::from_ne_bytes(*eight),
        (None, Some(four)) => u64::from(u32::from_ne_bytes(*four)),
        (None, None) => 0,
    }
}

fn properties_of(bytes: &[u8]) -> AttributePolicy {
    let mut one = AttributePolicy::default();
    for (kind, value) in attributes(bytes) {
        let value = number(value);
        match kind {
            1 => one.kind = value as u32,
            4 => one.least = value,
            5 => one.most = value,
            6 => one.bytes_least = value as u32,
            7 => one.bytes_most = value as u32,
            8 => one.below = value as u32,
            _ => {}
        }
    }
    one
}

/// What values are chosen: the least that is allowed; a device's; large; of the wrong size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueChoice {
    Least,
    Device,
    Large,
    WrongSize,
}

/// All attributes of a policy behind `message`; or the first one, and the one that is wanted.
fn with(
    mut message: NetlinkMessage,
    policies: &Policies,
    policy: u16,
    choice: ValueChoice,
    only: Option<u16>,
    depth: usize,
) -> NetlinkMessage {
    let Some(all) = policies.get(&policy) else { return message };
    let first = all.keys().next().copied();
    let wanted = |one: u16| only.is_none_or(|only| only == one || Some(one) == first);
    for (attribute, of) in all.iter().filter(|(attribute, _)| wanted(**attribute)) {
        message = match of.kind {
            // NL_ATTR_TYPE_NESTED, NL_ATTR_TYPE_NESTED_ARRAY.
            13 | 14 if depth < DEPTH_MAX && of.below != 0 => message.nest(*attribute, |inner| {
                let below = of.below as u16;
                match of.kind {
                    13 => with(inner, policies, below, choice, None, depth + 1),
                    _ => inner.nest(1, |one| with(one, policies, below, choice, None, depth + 1)),
                }
            }),
            _ => message.attribute(*attribute, &value_of(of, choice)),
        };
    }
    message
}

fn value_of(of: &AttributePolicy, choice: ValueChoice) -> Vec<u8> {
    // Of most devices that were made above the index is small; a large number is one that is no count of anything.
    let number = match choice {
        ValueChoice::Least => of.least,
        ValueChoice::Device => {
            u64::from(device_index("d0")).clamp(of.least, if of.most == 0 { u64::MAX } else { of.most })
        }
        ValueChoice::Large | ValueChoice::WrongSize => match of.most {
            0 => 0xfff,
            most => most.min(0xfff),
        },
    };
    let bytes = number.to_ne_bytes();
    let mut value = match of.kind {
        1 | 13 | 14 => Vec::new(),
        2 | 6 => bytes[..1].to_vec(),
        3 | 7 => bytes[..2].to_vec(),
        4 | 8 => bytes[..4].to_vec(),
        5 | 9 => bytes.to_vec(),
        // NL_ATTR_TYPE_BITFIELD32, SINT and UINT.
        15 => (number & 1 | (number & 1) << 32).to_ne_bytes().to_vec(),
        16 | 17 => bytes[..4].to_vec(),
        11 | 12 => text(choice, of.bytes_most),
        _ => vec![1; of.bytes_least.max(of.bytes_most.min(4)).min(64) as usize],
    };
    if choice == ValueChoice::WrongSize {
        value.push(1);
        value.push(1);
        value.push(1);
    }
    value
}

fn text(choice: ValueChoice, most: u32) -> Vec<u8> {
    let long = "pp-long-name".repeat(8);
    let text = match choice {
        ValueChoice::Least => "pp",
        ValueChoice::Device | ValueChoice::WrongSize => "d0",
        ValueChoice::Large => long.as_str(),
    };
    let most = if most == 0 { 64 } else { most.min(64) as usize };
    let mut bytes = text.as_bytes()[..text.len().min(most)].to_vec();
    bytes.push(0);
    bytes
}

fn family(it: &mut Exercise, socket: &Socket, name: &str, id: u16) {
    if LEFT_ALONE.iter().any(|start| name.starts_with(start)) {
        return;
    }
    let Some((commands, policies)) = it.step(format!("{name}: what it takes"), || policies(socket, id))
    else {
        return;
    };
    let began = Instant::now();
    let mut ends = BTreeMap::<String, u32>::new();
    let mut count = |end: io::Result<Vec<u8>>| {
        let end = end.map_or_else(|error| errno::describe(&error), |_| "ok".to_owned());
        *ends.entry(end).or_default() += 1;
    };
    for (command, policy) in &commands {
        let (Some(policy), Ok(command)) = (policy, u8::try_from(*command)) else { continue };
        let mut ask = |choice, only, flags| {
            let message = with(generic(id, command, flags), &policies, *policy, choice, only, 0);
            count(socket.ask(&message));
        };
        for choice in [ValueChoice::Least, ValueChoice::Device, ValueChoice::Large, ValueChoice::WrongSize] {
            ask(choice, None, ACK);
        }
        for only in policies.get(policy).into_iter().flat_map(BTreeMap::keys).take(SINGLE) {
            ask(ValueChoice::Device, Some(*only), ACK);
        }
        ask(ValueChoice::Device, None, DUMP);
        ask(ValueChoice::Device, policies.get(policy).and_then(|all| all.keys().next().copied()), DUMP);
        if began.elapsed() > FAMILY_LIMIT {
            it.fail(&format!("{name}: all commands"), &io::Error::other("took too long"));
            return;
        }
    }
    let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    it.step(format!("{name}: {}", ends.join(" ")), || Ok(()));
}

/// Alerts in either mode about packets that are dropped here in process context, and the monitor stopped again.
fn drop_monitor(it: &mut Exercise, socket: &Socket, id: u16) {
    const CONFIG: u8 = 2;
    const START: u8 = 3;
    const STOP: u8 = 4;
    // NET_DM_ATTR_ALERT_MODE, NET_DM_ATTR_SW_DROPS, NET_DM_ATTR_HW_DROPS.
    let mode = |mode: u8| generic(id, CONFIG, ACK).attribute(1, &[mode]);
    let both = |command: u8| generic(id, command, ACK).attribute(20, &[]).attribute(21, &[]);
    let _ = socket.ask(&both(STOP));
    for (name, number) in [("summary", 0_u8), ("packet", 1)] {
        it.step(format!("drop monitor, {name}"), || socket.ask(&mode(number)));
        // Truncation and the length of the queue.
        let _ = socket.ask(&generic(id, CONFIG, ACK).number(9, 128).number(11, 16));
        it.step(format!("drop monitor, {name}, starts"), || socket.ask(&both(START)));
        it.step(format!("drop monitor, {name}, starts again"), || socket.ask(&both(START)));
        it.step(format!("drop monitor, {name}, another mode while it runs"), || {
            socket.ask(&mode(1 - number))
        });
        it.step(format!("packets dropped, {name}"), dropped);
        std::thread::sleep(Duration::from_millis(50));
        // CONFIG_GET and STATS_GET.
        for command in [6, 8] {
            it.step(format!("drop monitor, {name}, command {command}"), || {
                socket.ask(&generic(id, command, ACK))
            });
        }
        it.step(format!("drop monitor, {name}, stops"), || socket.ask(&both(STOP)));
        it.step(format!("drop monitor, {name}, stops again"), || socket.ask(&both(STOP)));
    }
    it.step("drop monitor, no such mode", || socket.ask(&mode(9)));
    let _ = socket.ask(&mode(0));
}

const ETH_P_ALL: u16 = 3;

/// To a port where nothing listens, to nowhere, to a socket that takes none, on a device that is down.
fn dropped() -> io::Result<()> {
    let _ = workloads::tools::run("ip route add blackhole 198.51.100.0/24");
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    for to in ["127.0.0.1:9", "10.0.0.1:9", "198.51.100.1:9", "10.0.0.77:9"] {
        for _ in 0..3 {
            let _ = socket.send_to(&[7; 200], to);
        }
    }
    let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
    // A filter that takes nothing: BPF_RET | BPF_K, 0.
    let instruction = [0x06_u64, 0];
    let program = [1_u64, instruction.as_ptr() as u64];
    let fd = std::os::fd::AsRawFd::as_raw_fd(&other);
    sys!(SYS_setsockopt, fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program.as_ptr(), 16)?;
    for _ in 0..3 {
        let _ = one.send(&[7; 100]);
    }
    dropped_when_closed()
}

/// Packets that came over a device and that nobody read: who closes the socket drops them.
fn dropped_when_closed() -> io::Result<()> {
    let every_protocol = i32::from(u16::to_be(ETH_P_ALL));
    let taps = [
        sys::descriptor(sys!(SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, every_protocol))?,
        sys::descriptor(sys!(SYS_socket, libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP))?,
    ];
    let (sender, reader) =
        (std::net::UdpSocket::bind("127.0.0.1:0")?, std::net::UdpSocket::bind("127.0.0.1:0")?);
    for _ in 0..3 {
        sender.send_to(&[7; 200], reader.local_addr()?)?;
    }
    drop((taps, reader));
    Ok(())
}
