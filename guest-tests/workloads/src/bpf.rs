//! BPF by raw system calls: maps, programs, and the instructions that they are made of.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;
use crate::sys::descriptor;

/// union bpf_attr as words.
/// # Errors
/// That of the call.
pub fn bpf(command: i32, attributes: &[u64; 18]) -> io::Result<i64> {
    sys!(SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes))
}

pub fn low_high(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[derive(Debug)]
pub struct Map {
    pub fd: OwnedFd,
}

impl Map {
    /// # Errors
    /// That of the call.
    pub fn create(kind: u32, key: u32, value: u32, entries: u32, flags: u32, inner: i32) -> io::Result<Map> {
        let mut attributes = [0; 18];
        attributes[0] = low_high(kind, key);
        attributes[1] = low_high(value, entries);
        attributes[2] = low_high(flags, inner as u32);
        descriptor(bpf(0, &attributes)).map(|fd| Map { fd })
    }

    pub fn number(&self) -> u64 {
        self.fd.as_raw_fd() as u64
    }

    /// Lookup, update, delete, next key, lookup and delete, freeze.
    ///
    /// # Errors
    /// That of the call.
    pub fn element(&self, command: i32, key: u64, value: u64, flags: u64) -> io::Result<i64> {
        let mut attributes = [0; 18];
        attributes[..4].copy_from_slice(&[self.number(), key, value, flags]);
        bpf(command, &attributes)
    }

    /// struct batch: in, out, keys, values, count and descriptor, flags.
    ///
    /// # Errors
    /// That of the first call.
    pub fn batch(&self, command: i32, keys: u64, values: u64) -> io::Result<i64> {
        let mut out = [0_u64; 4];
        let mut attributes = [0; 18];
        attributes[1] = out.as_mut_ptr() as u64;
        attributes[2] = keys;
        attributes[3] = values;
        attributes[4] = low_high(4, self.fd.as_raw_fd() as u32);
        let first = bpf(command, &attributes);
        attributes[0] = out.as_ptr() as u64;
        attributes[4] = low_high(4, self.fd.as_raw_fd() as u32);
        let _ = bpf(command, &attributes);
        first
    }
}

/// r0 = 0; exit.
pub const NOTHING: [u64; 2] = [0x0000_0000_0000_00b7, 0x95];
/// r0 = 1; exit.
pub const ONE: [u64; 2] = [0x0000_0001_0000_00b7, 0x95];

/// # Errors
/// That of the call: what the verifier says is not kept.
pub fn load(kind: u32, instructions: &[u64], attach: u32) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 4096];
    let mut attributes = [0; 18];
    attributes[0] = low_high(kind, instructions.len() as u32);
    attributes[1] = instructions.as_ptr() as u64;
    attributes[2] = c"GPL".as_ptr() as u64;
    attributes[3] = low_high(1, 4096);
    attributes[4] = log.as_mut_ptr() as u64;
    // Of a struct_ops or tracing program the type it is attached to would be needed.
    attributes[8] = low_high(0, attach);
    descriptor(bpf(5, &attributes))
}

/// One instruction: operation, destination and source, offset, immediate value.
pub fn instruction(operation: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = u64::from(to | from << 4) << 8;
    let offset = u64::from(offset as u16) << 16;
    u64::from(operation) | registers | offset | u64::from(value as u32) << 32
}

/// Looks for key 0 in the map, and returns `value`.
pub fn looking_up(map: &Map, value: i32) -> Vec<u64> {
    vec![
        // *(u32 *)(r10 - 4) = 0; r2 = r10 - 4; r1 = the map; bpf_map_lookup_elem(); r0 = value; exit.
        instruction(0x62, 10, 0, -4, 0),
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -4),
        instruction(0x18, 1, 1, 0, map.fd.as_raw_fd()),
        0,
        instruction(0x85, 0, 0, 0, 1),
        instruction(0xb7, 0, 0, 0, value),
        instruction(0x95, 0, 0, 0, 0),
    ]
}

/// A link of a program to what has this descriptor or number, which goes with its own descriptor.
///
/// # Errors
/// That of the call.
pub fn link(program: &OwnedFd, target: u32, attach: u32, more: [u64; 2]) -> io::Result<OwnedFd> {
    let mut attributes = [0; 18];
    attributes[0] = low_high(program.as_raw_fd() as u32, target);
    attributes[1] = low_high(attach, 0);
    attributes[2..4].copy_from_slice(&more);
    descriptor(bpf(28, &attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_as_the_kernel_reads_it() {
        // r10[-4] = 0, and exit.
        assert_eq!(instruction(0x62, 10, 0, -4, 0).to_le_bytes(), [0x62, 0x0a, 0xfc, 0xff, 0, 0, 0, 0]);
        assert_eq!(instruction(0x95, 0, 0, 0, 0), NOTHING[1]);
        assert_eq!(instruction(0xb7, 0, 0, 0, 1), ONE[0]);
    }
}
