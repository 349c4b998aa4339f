//! What every guest test needs: fault injection, tracing, page-table and interrupt counters, CPU pinning.
//!
//! Modules that read what the kernel wrote ([`ring_buffer`], [`recorded`], [`counters`]) are pure and tested
//! on what was recorded. The others touch /proc, /sys and debugfs, and nothing else. None of them judges.

pub mod account;
pub mod child;
pub mod counters;
pub mod cpu;
pub mod event_format;
pub mod exec;
pub mod fault;
pub mod files;
pub mod fork;
pub mod grace_period;
pub mod gup;
pub mod kallsyms;
pub mod mapping;
pub mod measure;
pub mod meter;
pub mod realtime;
pub mod recorded;
pub mod ring_buffer;
pub mod scenario;
pub mod site;
pub mod stop_in_kernel;
pub mod timing;
pub mod tracer;
pub mod walkers;
