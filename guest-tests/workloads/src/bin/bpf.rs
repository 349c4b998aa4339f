//! BPF: maps of each type with each of their commands, programs of each type, type information, links, and objects pinned;
//! and what the verifier has to refuse.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use workloads::bpf::{Map, NOTHING, ONE, bpf, load, low_high};
use workloads::errno;
use workloads::exercise::{self, Exercise};
use workloads::sys::descriptor;
use workloads::{places, sys};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    maps(it);
    programs(it);
    attached(it);
    type_information(it);
    pinned(it);
    let mut ends = BTreeMap::<String, u32>::new();
    for command in 0..50 {
        let end = bpf(command, &[0; 18]).map_or_else(|error| errno::describe(&error), |_| "ok".to_owned());
        *ends.entry(end).or_default() += 1;
    }
    let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    it.step(format!("empty commands: {}", ends.join(" ")), || Ok(()));
}

fn maps(it: &mut Exercise) {
    for kind in 0..40_u32 {
        // Sizes and flags that some type takes.
        let mut made = Vec::new();
        for (key, value, entries, flags) in [
            (4, 8, 8, 0),
            (4, 4, 8, 0),
            (8, 8, 8, 1),
            (0, 0, 4096, 0),
            (0, 8, 8, 0),
            (8, 8, 8, 0),
            (4, 8, 0, 1),
            (0, 0, 1, 0x400),
            (4, 4, 8, 3),
            (20, 8, 8, 0x40),
            (4, 8, u32::MAX, 0),
            (4, 8, 8, 0x8000_0000),
        ] {
            if let Ok(map) = Map::create(kind, key, value, entries, flags, -1) {
                use_map(&map, key);
                made.push(map);
            }
        }
        let inner = Map::create(2, 4, 8, 8, 0, -1);
        if let Ok(inner) = &inner
            && let Ok(outer) = Map::create(kind, 4, 4, 4, 0, inner.fd.as_raw_fd())
        {
            let (key, value) = (0_u32, inner.fd.as_raw_fd());
            let _ = outer.element(2, (&raw const key) as u64, (&raw const value) as u64, 0);
            use_map(&outer, 4);
            made.push(outer);
        }
        it.step(format!("maps of type {kind}: {}", made.len()), || match made.len() {
            0 => Err(Map::create(kind, 4, 8, 8, 0, -1).err().unwrap_or_else(|| io::Error::other("odd"))),
            _ => Ok(()),
        });
    }
}

fn use_map(map: &Map, key_bytes: u32) {
    let mut keys = [0_u64; 16];
    let mut values = [7_u64; 512];
    let key = keys.as_mut_ptr() as u64;
    let value = values.as_mut_ptr() as u64;
    let at = |number: u64| if key_bytes == 0 { 0 } else { number };
    for number in 0..4_u64 {
        keys[0] = if key_bytes == 8 || key_bytes == 20 { 32 | number << 32 } else { number };
        for flags in [0, 1, 2, 4, 99] {
            let _ = map.element(2, at(key), value, flags);
        }
        let _ = map.element(1, at(key), value, 0);
        let _ = map.element(1, at(key), value, 4);
    }
    let mut next = [0_u64; 4];
    let _ = map.element(4, 0, next.as_mut_ptr() as u64, 0);
    let _ = map.element(4, key, next.as_mut_ptr() as u64, 0);
    let mut batch = [0_u64; 64];
    let keys_at = batch.as_mut_ptr() as u64;
    // Lookup, lookup and delete, update, delete.
    for command in [24, 26, 25, 24, 27] {
        let _ = map.batch(command, keys_at, value);
    }
    let _ = map.element(2, at(key), value, 0);
    let _ = map.element(21, at(key), value, 0);
    let _ = map.element(3, at(key), 0, 0);
    let _ = map.element(3, at(key), 0, 0);
    // Information, by descriptor and by number.
    let mut information = [0_u32; 64];
    let mut attributes = [0; 18];
    attributes[0] = low_high(map.fd.as_raw_fd() as u32, 256);
    attributes[1] = information.as_mut_ptr() as u64;
    let _ = bpf(15, &attributes);
    let mut by_number = [0; 18];
    by_number[0] = u64::from(information[1]);
    drop(descriptor(bpf(14, &by_number)));
    let _ = fs::read(format!("/proc/self/fdinfo/{}", map.fd.as_raw_fd()));
    if let Ok(mapped) = sys!(SYS_mmap, 0, 4096, 3, libc::MAP_SHARED, map.fd.as_raw_fd(), 0) {
        let _ = sys!(SYS_munmap, mapped, 4096);
    }
    let _ = map.element(22, 0, 0, 0);
    let _ = map.element(2, at(key), value, 0);
}

fn programs(it: &mut Exercise) {
    for kind in 0..34 {
        it.step(format!("program of type {kind}"), || {
            let expected = match kind {
                // CGROUP_SOCK_ADDR, CGROUP_SOCKOPT, SK_LOOKUP, SK_REUSEPORT: where they attach is asked for.
                18 => 8,
                25 => 21,
                30 => 36,
                _ => 0,
            };
            let instructions = if matches!(kind, 8 | 9 | 15 | 18 | 23 | 25 | 30) { &ONE } else { &NOTHING };
            let program = load(kind, instructions, expected)?;
            test_run(&program);
            let mut information = [0_u32; 64];
            let mut attributes = [0; 18];
            attributes[0] = low_high(program.as_raw_fd() as u32, 232);
            attributes[1] = information.as_mut_ptr() as u64;
            bpf(15, &attributes)?;
            fs::read(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))
        });
    }
    // r1 is the context; what is done wrong below is in the name.
    let bad: [(&str, &[u64]); 9] = [
        ("no exit", &[0xb7]),
        ("nothing", &[]),
        ("no value returned", &[0x95]),
        ("a loop", &[0xb7, 0xffff_0005 & 0xffff_0000 | 0x05, 0x95]),
        ("beyond the stack", &[0x0000_0001_0000_00b7, 0xfdf8_0a7b & 0xffff_ffff, 0x95]),
        ("a bad opcode", &[0xff, 0x95]),
        ("a bad helper", &[0x0fff_ffff_0000_0085, 0x95]),
        ("a jump out", &[0x0000_0000_0064_0005, 0x95]),
        ("an uninitialised register", &[0x0000_0000_0000_20bf, 0x95]),
    ];
    for (name, instructions) in bad {
        it.step(format!("refused: {name}"), || load(1, instructions, 0));
    }
    // Helpers without arguments: get_prandom_u32, get_smp_processor_id, ktime_get_ns, get_current_pid_tgid.
    for helper in [5_u64, 7, 8, 14, 15] {
        it.step(format!("helper {helper}"), || {
            let program = load(1, &[0x85 | helper << 32, 0xb7, 0x95], 0)?;
            test_run(&program);
            Ok(())
        });
    }
}

fn test_run(program: &OwnedFd) {
    let data = [0_u8; 64];
    let mut out = [0_u8; 256];
    let mut attributes = [0; 18];
    attributes[0] = program.as_raw_fd() as u64;
    attributes[1] = low_high(64, 256);
    attributes[2] = data.as_ptr() as u64;
    attributes[3] = out.as_mut_ptr() as u64;
    attributes[4] = low_high(2, 0);
    let _ = bpf(10, &attributes);
}

fn attached(it: &mut Exercise) {
    it.step("a socket filter", || {
        let program = load(1, &ONE, 0)?;
        let mut sockets = [0_i32; 2];
        sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_DGRAM, 0, sockets.as_mut_ptr())?;
        let (one, other) = (descriptor(Ok(sockets[0].into()))?, descriptor(Ok(sockets[1].into()))?);
        let number = program.as_raw_fd();
        sys!(SYS_setsockopt, other.as_raw_fd(), 1, 50, &raw const number, 4)?;
        sys!(SYS_sendto, one.as_raw_fd(), c"x".as_ptr(), 1, 0, 0, 0)?;
        sys!(SYS_setsockopt, other.as_raw_fd(), 1, 27, &raw const number, 4)
    });
    it.step("a group of cgroup2", || {
        places::mount("cgroup2", "/tmp/bpf-cgroup", "")?;
        fs::create_dir("/tmp/bpf-cgroup/pp")?;
        let group = fs::File::open("/tmp/bpf-cgroup/pp")?;
        let program = load(8, &ONE, 0)?;
        let mut attributes = [0; 18];
        attributes[0] = low_high(group.as_raw_fd() as u32, program.as_raw_fd() as u32);
        attributes[1] = 0;
        bpf(8, &attributes)?;
        let mut query = [0; 18];
        let mut found = [0_u32; 8];
        query[0] = low_high(group.as_raw_fd() as u32, 0);
        query[2] = found.as_mut_ptr() as u64;
        query[3] = 8;
        bpf(16, &query)?;
        bpf(9, &attributes)?;
        let again = bpf(9, &attributes);
        // As a link, which goes with its descriptor.
        let mut link = [0; 18];
        link[0] = low_high(program.as_raw_fd() as u32, group.as_raw_fd() as u32);
        let linked = descriptor(bpf(28, &link));
        drop((linked, group));
        fs::remove_dir("/tmp/bpf-cgroup/pp")?;
        places::unmount("/tmp/bpf-cgroup")?;
        again
    });
    it.step("a raw tracepoint", || {
        let program = load(17, &NOTHING, 0)?;
        for name in [c"sched_process_exit", c"no_such_tracepoint"] {
            let mut attributes = [0; 18];
            attributes[0] = name.as_ptr() as u64;
            attributes[1] = program.as_raw_fd() as u64;
            drop(descriptor(bpf(17, &attributes))?);
        }
        Ok(())
    });
    it.step("a network's flow dissector", || {
        let program = load(22, &NOTHING, 0)?;
        let mut attributes = [0; 18];
        attributes[0] = low_high(0, program.as_raw_fd() as u32);
        attributes[1] = 17;
        bpf(8, &attributes)?;
        bpf(9, &attributes)
    });
}

/// The header of BTF and one type, `int`; and what is none.
fn type_information(it: &mut Exercise) {
    let header = |types: u32, strings: u32| {
        let mut bytes = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        for number in [0, types, types, strings] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes
    };
    let mut good = header(16, 5);
    good.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 32, 0, 0, 1]);
    good.extend_from_slice(b"\0int\0");
    let load = |bytes: &[u8]| {
        let mut attributes = [0; 18];
        attributes[0] = bytes.as_ptr() as u64;
        attributes[2] = bytes.len() as u64;
        descriptor(bpf(18, &attributes))
    };
    it.step("types", || {
        let types = load(&good)?;
        let map = [0_u64; 18];
        let mut attributes = map;
        attributes[0] = low_high(2, 4);
        attributes[1] = low_high(4, 1);
        attributes[6] = low_high(types.as_raw_fd() as u32, 1);
        attributes[7] = 1;
        drop(descriptor(bpf(0, &attributes)));
        fs::read(format!("/proc/self/fdinfo/{}", types.as_raw_fd()))
    });
    it.step("no types", || load(&[0; 64]));
    it.step("types that are cut", || load(&good[..30]));
    it.step("the kernel's", || fs::read("/sys/kernel/btf/vmlinux").map(drop));
    for (name, command) in [("programs", 11), ("maps", 12), ("types", 23), ("links", 31)] {
        it.step(format!("numbers of {name}"), || {
            let attributes = [0; 18];
            bpf(command, &attributes)
        });
    }
}

fn pinned(it: &mut Exercise) {
    it.step("bpffs", || places::mount("bpf", "/tmp/bpffs", ""));
    it.step("pin and get", || {
        let map = Map::create(1, 4, 8, 8, 0, -1)?;
        let mut attributes = [0; 18];
        attributes[0] = c"/tmp/bpffs/map".as_ptr() as u64;
        attributes[1] = map.number();
        bpf(6, &attributes)?;
        bpf(6, &attributes).err();
        attributes[1] = 0;
        drop(descriptor(bpf(7, &attributes))?);
        fs::read("/tmp/bpffs/map").err();
        fs::create_dir("/tmp/bpffs/d")?;
        fs::rename("/tmp/bpffs/map", "/tmp/bpffs/d/map")?;
        fs::write("/tmp/bpffs/file", "x").err();
        fs::remove_file("/tmp/bpffs/d/map")?;
        fs::remove_dir("/tmp/bpffs/d")?;
        bpf(7, &attributes)
    });
    it.step("no bpffs", || places::unmount("/tmp/bpffs"));
}
