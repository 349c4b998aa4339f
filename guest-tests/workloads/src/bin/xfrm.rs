//! IPsec by its own messages: states and policies that are added, updated, migrated, expire, are allocated, asked for, deleted
//! and flushed; good requests and those that lack what they need.

use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, CREATE, DUMP, EXCL, NetlinkMessage, Socket};
use workloads::places;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own network", places::own_network);
    xfrm(it);
}

/// IPsec: a state and a policy, twice, shown, migrated, deleted, deleted again, flushed.
fn xfrm(it: &mut Exercise) {
    // Something that hears of it: without one the kernel says nothing.
    let listener = Socket::open(6);
    let _ = listener.as_ref().map(|listener| listener.bind(0xffff));
    let Some(socket) = it.step("xfrm socket", || Socket::open(6)) else { return };
    for (name, kind) in [("state", 18_u16), ("policy", 21)] {
        it.step(format!("dump {name}"), || socket.ask(&NetlinkMessage::new(kind, DUMP, &[])));
    }
    let state = state();
    let keys = |message: NetlinkMessage| {
        message.attribute(1, &algorithm("digest_null", 0)).attribute(2, &algorithm("ecb(cipher_null)", 0))
    };
    it.step("add a state", || socket.ask(&keys(NetlinkMessage::new(16, ACK | CREATE, &state))));
    it.step("add it again", || socket.ask(&keys(NetlinkMessage::new(16, ACK | CREATE | EXCL, &state))));
    it.step("update it", || socket.ask(&keys(NetlinkMessage::new(26, ACK, &state))));
    it.step("a state of no algorithm", || {
        socket.ask(&NetlinkMessage::new(16, ACK, &state).attribute(2, &algorithm("no-such", 8)))
    });
    it.step("a state that is short", || socket.ask(&NetlinkMessage::new(16, ACK, &state[..40])));
    // struct xfrm_usersa_id: address, SPI, family, protocol.
    let mut id = [0_u8; 24];
    id[..4].copy_from_slice(&[127, 0, 0, 2]);
    id[16..20].copy_from_slice(&0x100_u32.to_be_bytes());
    id[20..22].copy_from_slice(&2_u16.to_ne_bytes());
    id[22] = 50;
    it.step("get it", || socket.ask(&NetlinkMessage::new(18, 0, &id)));
    it.step("dump states", || socket.ask(&NetlinkMessage::new(18, DUMP, &[])));
    let mut selector = [0_u8; 168];
    selector[..4].copy_from_slice(&[127, 0, 0, 2]);
    selector[40..42].copy_from_slice(&2_u16.to_ne_bytes());
    selector[42] = 32;
    selector[160] = 1;
    it.step("add a policy", || socket.ask(&NetlinkMessage::new(19, ACK | CREATE, &selector)));
    it.step("add it again", || socket.ask(&NetlinkMessage::new(19, ACK | CREATE | EXCL, &selector)));
    it.step("dump policies", || socket.ask(&NetlinkMessage::new(21, DUMP, &[])));
    let mut policy = [0_u8; 64];
    policy[..56].copy_from_slice(&selector[..56]);
    it.step("get the policy", || socket.ask(&NetlinkMessage::new(21, 0, &policy)));
    it.step("migrate nothing", || socket.ask(&NetlinkMessage::new(33, ACK, &policy).attribute(17, &[0; 64])));
    migrations(it, &socket);
    events(it, &socket);
    for kind in 22..45_u16 {
        it.step(format!("xfrm message {kind}"), || socket.ask(&NetlinkMessage::new(kind, ACK, &state)));
    }
    it.step("delete the policy", || socket.ask(&NetlinkMessage::new(20, ACK, &policy)));
    it.step("delete the state", || socket.ask(&NetlinkMessage::new(17, ACK, &id)));
    it.step("delete it again", || socket.ask(&NetlinkMessage::new(17, ACK, &id)));
    it.step("flush states", || socket.ask(&NetlinkMessage::new(28, ACK, &[0; 4])));
    it.step("flush policies", || socket.ask(&NetlinkMessage::new(29, ACK, &[])));
}

/// struct xfrm_usersa_info of an ESP state from 127.0.0.1 to 127.0.0.2.
fn state() -> Vec<u8> {
    let mut state = vec![0_u8; 224];
    state[40..42].copy_from_slice(&2_u16.to_ne_bytes());
    state[56..60].copy_from_slice(&[127, 0, 0, 2]);
    state[72..76].copy_from_slice(&0x100_u32.to_be_bytes());
    state[76] = 50;
    state[80..84].copy_from_slice(&[127, 0, 0, 1]);
    // Without limits of bytes and packets; a limit of time that is too large would end it at once.
    state[96..128].fill(0xff);
    state[212..214].copy_from_slice(&2_u16.to_ne_bytes());
    state
}

/// struct xfrm_algo: name, length of the key in bits, key.
fn algorithm(name: &str, bits: u32) -> Vec<u8> {
    let mut value = vec![0_u8; 64];
    value[..name.len()].copy_from_slice(name.as_bytes());
    value.extend_from_slice(&bits.to_ne_bytes());
    value.resize(value.len() + (bits / 8) as usize, 0);
    value
}

/// struct xfrm_usersa_id of an ESP state.
fn usersa_id(last: u8, spi: u32) -> Vec<u8> {
    let mut id = vec![0_u8; 24];
    id[..4].copy_from_slice(&[127, 0, 0, last]);
    id[16..20].copy_from_slice(&spi.to_be_bytes());
    id[20..22].copy_from_slice(&2_u16.to_ne_bytes());
    id[22] = 50;
    id
}

/// XFRM_MSG_MIGRATE_STATE and XFRM_MSG_MIGRATE: with a state and a policy that are there, and with none.
fn migrations(it: &mut Exercise, socket: &Socket) {
    let keys = |message: NetlinkMessage| {
        message.attribute(1, &algorithm("digest_null", 0)).attribute(2, &algorithm("ecb(cipher_null)", 0))
    };
    let _ = socket.ask(&keys(NetlinkMessage::new(16, ACK | CREATE, &state())));
    // struct xfrm_user_migrate_state: what it is; new addresses, mark, selector, request, flags, family.
    let migrate = |last: u8, to: u8, flags: u32, family: u16| {
        let mut body = usersa_id(last, 0x100);
        body.resize(132, 0);
        body[24..28].copy_from_slice(&[127, 0, 0, to]);
        body[40..44].copy_from_slice(&[127, 0, 0, 1]);
        // The selector's family.
        body[104..106].copy_from_slice(&family.to_ne_bytes());
        body[124..128].copy_from_slice(&flags.to_ne_bytes());
        body[128..130].copy_from_slice(&family.to_ne_bytes());
        NetlinkMessage::new(41, ACK, &body)
    };
    it.step("migrate a state", || socket.ask(&migrate(2, 4, 0, 2)));
    it.step("migrate it back", || socket.ask(&migrate(4, 2, 1, 2)));
    it.step("migrate it, selector of hosts", || socket.ask(&migrate(2, 2, 2, 2)));
    it.step("migrate no state", || socket.ask(&migrate(9, 4, 0, 2)));
    it.step("migrate a state by flags that there are not", || socket.ask(&migrate(2, 4, 0x80, 2)));
    it.step("migrate a state to another family", || socket.ask(&migrate(2, 4, 0, 10)));
    // XFRMA_ENCAP, XFRMA_OFFLOAD_DEV, XFRMA_MARK, XFRMA_SET_MARK, XFRMA_NAT_KEEPALIVE_INTERVAL.
    for (kind, value) in
        [(4_u16, vec![2_u8; 24]), (28, vec![1; 8]), (21, vec![1; 8]), (29, vec![1; 4]), (35, vec![1; 4])]
    {
        it.step(format!("migrate a state with attribute {kind}"), || {
            socket.ask(&migrate(2, 4, 0, 2).attribute(kind, &value))
        });
        let _ = socket.ask(&migrate(4, 2, 0, 2));
    }
    policies(it, socket);
}

/// A policy with a template, which is moved to other ends: struct xfrm_userpolicy_info, xfrm_user_tmpl, xfrm_user_migrate.
fn policies(it: &mut Exercise, socket: &Socket) {
    let mut info = [0_u8; 168];
    info[..4].copy_from_slice(&[127, 0, 0, 7]);
    info[40..42].copy_from_slice(&2_u16.to_ne_bytes());
    info[42] = 32;
    info[160] = 1;
    let mut template = [0_u8; 64];
    template[..4].copy_from_slice(&[127, 0, 0, 2]);
    template[20] = 50;
    template[24..26].copy_from_slice(&2_u16.to_ne_bytes());
    template[28..32].copy_from_slice(&[127, 0, 0, 1]);
    template[48] = 1;
    template[52..].fill(0xff);
    it.step("a policy with a template", || {
        socket.ask(&NetlinkMessage::new(19, ACK | CREATE, &info).attribute(5, &template))
    });
    let mut id = [0_u8; 64];
    id[..56].copy_from_slice(&info[..56]);
    id[60] = 1;
    let moved = |from: u8, to: u8| {
        let mut one = [0_u8; 76];
        for (at, last) in [(0, from), (16, 1), (32, to), (48, 1)] {
            one[at..at + 4].copy_from_slice(&[127, 0, 0, last]);
        }
        (one[64], one[65]) = (50, 1);
        one[72..74].copy_from_slice(&2_u16.to_ne_bytes());
        one[74..76].copy_from_slice(&2_u16.to_ne_bytes());
        one
    };
    for (name, from, to) in
        [("there", 2, 5), ("back", 5, 2), ("to where it is", 2, 2), ("from nowhere", 9, 8)]
    {
        it.step(format!("migrate a policy {name}"), || {
            socket.ask(&NetlinkMessage::new(33, ACK, &id).attribute(17, &moved(from, to)))
        });
    }
    let both = [moved(2, 5), moved(5, 2)].concat();
    it.step("migrate a policy twice at once", || {
        socket.ask(&NetlinkMessage::new(33, ACK, &id).attribute(17, &both))
    });
    it.step("migrate a policy with a key's address", || {
        socket.ask(&NetlinkMessage::new(33, ACK, &id).attribute(17, &moved(2, 5)).attribute(19, &[2; 40]))
    });
    // XFRM_MSG_UPDPOLICY, XFRM_MSG_GETPOLICY, XFRM_MSG_POLEXPIRE soft and hard, XFRM_MSG_DELPOLICY.
    it.step("the policy again", || socket.ask(&NetlinkMessage::new(25, ACK, &info).attribute(5, &template)));
    it.step("a policy of seven templates", || {
        socket.ask(&NetlinkMessage::new(25, ACK, &info).attribute(5, &template.repeat(7)))
    });
    let mut expire = info.to_vec();
    expire.resize(176, 0);
    for hard in [0, 1] {
        expire[168] = hard;
        it.step(format!("the policy expires, {hard}"), || socket.ask(&NetlinkMessage::new(27, ACK, &expire)));
    }
    let _ = socket.ask(&NetlinkMessage::new(20, ACK, &id));
}

/// What happens to a state: asked for, counted, replayed, expired; and settings of all.
fn events(it: &mut Exercise, socket: &Socket) {
    // struct xfrm_aevent_id: the state, an address, flags, a request.
    let mut event = usersa_id(2, 0x100);
    event.resize(48, 0);
    let aevent = |kind: u16| NetlinkMessage::new(kind, ACK, &event);
    it.step("what is counted of a state", || socket.ask(&NetlinkMessage::new(31, 0, &event)));
    // XFRMA_LTIME_VAL, XFRMA_REPLAY_VAL, XFRMA_ETIMER_THRESH, XFRMA_REPLAY_THRESH.
    for (kind, length) in [(9_u16, 32), (10, 12), (12, 4), (11, 4), (23, 32)] {
        it.step(format!("event with attribute {kind}"), || {
            let mut message = aevent(30);
            message = message.attribute(kind, &vec![1; length]);
            socket.ask(&message)
        });
    }
    let mut replace = NetlinkMessage::new(30, ACK | workloads::netlink::REPLACE, &event);
    replace = replace.attribute(10, &[0; 12]);
    it.step("event that replaces", || socket.ask(&replace));
    // struct xfrm_userspi_info.
    let mut wanted = state();
    wanted.extend_from_slice(&[0, 2, 0, 0, 0xff, 2, 0, 0]);
    it.step("a number for a state", || socket.ask(&NetlinkMessage::new(22, 0, &wanted)));
    // struct xfrm_user_expire, xfrm_user_acquire.
    let mut expire = state();
    expire.resize(232, 0);
    for hard in [0, 1] {
        expire[224] = hard;
        it.step(format!("the state expires, {hard}"), || socket.ask(&NetlinkMessage::new(24, ACK, &expire)));
    }
    it.step("a state is acquired", || socket.ask(&NetlinkMessage::new(23, ACK, &[2; 280])));
    // SADINFO, SPDINFO with thresholds, defaults.
    it.step("states in numbers", || socket.ask(&NetlinkMessage::new(35, 0, &[0; 4])));
    it.step("policies in numbers", || socket.ask(&NetlinkMessage::new(37, 0, &[0; 4])));
    for kind in [3_u16, 4] {
        it.step(format!("thresholds {kind}"), || {
            socket.ask(&NetlinkMessage::new(36, ACK, &[0; 4]).attribute(kind, &[32, 32]))
        });
        it.step(format!("thresholds {kind} that are too large"), || {
            socket.ask(&NetlinkMessage::new(36, ACK, &[0; 4]).attribute(kind, &[200, 200]))
        });
    }
    for default in [[1_u8, 1, 1], [2, 2, 2], [9, 9, 9]] {
        it.step(format!("what is done without a policy, {}", default[0]), || {
            socket.ask(&NetlinkMessage::new(39, ACK, &default))
        });
        let _ = socket.ask(&NetlinkMessage::new(40, 0, &[0; 4]));
    }
    // XFRMA_ENCAP, a security context, marks, a device to offload to, an interface, a direction, an algorithm of each kind.
    let full = |kind: u16, value: &[u8]| {
        let message =
            NetlinkMessage::new(16, ACK | CREATE, &state()).attribute(2, &algorithm("ecb(cipher_null)", 0));
        socket.ask(&message.attribute(kind, value))
    };
    for kind in 1..37_u16 {
        let lengths = [0_usize, 4, 8, 24, 72, 80];
        let taken = lengths.iter().filter(|length| full(kind, &vec![2; **length]).is_ok()).count();
        let _ = socket.ask(&NetlinkMessage::new(17, ACK, &usersa_id(2, 0x100)));
        it.step(format!("attribute {kind}: {taken} lengths"), || Ok(()));
    }
    let _ = socket.ask(
        &NetlinkMessage::new(16, ACK | CREATE, &state()).attribute(2, &algorithm("ecb(cipher_null)", 0)),
    );
}
