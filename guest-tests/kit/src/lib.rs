//! What every guest test needs: fault injection, tracing, gauges and counters, child processes, CPU pinning. It knows names
//! and numbers, which an order brings; what only one subject needs is in that subject's own crate.
//!
//! Modules that read what the kernel wrote ([`ring_buffer`], [`recorded`], [`counters`]) are pure and tested
//! on what was recorded, as are those that decide ([`account`], [`probes`], [`site`]). The others
//! touch /proc, /sys and debugfs, and nothing else. None of them judges.

pub mod account;
pub mod child;
pub mod counters;
pub mod cpu;
pub mod event_format;
pub mod exec;
pub mod fault;
pub mod files;
pub mod fork;
pub mod kallsyms;
pub mod measure;
pub mod meter;
pub mod page;
pub mod probes;
pub mod realtime;
pub mod recorded;
pub mod ring_buffer;
pub mod scenario;
pub mod settings;
pub mod site;
pub mod stop_in_kernel;
pub mod timing;
pub mod tracer;
