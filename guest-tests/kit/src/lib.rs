//! What every guest test needs: fault injection, tracing, page-table and interrupt counters, CPU pinning.
//!
//! Modules that read text the kernel wrote ([`kallsyms`], [`trace_text`], [`counters`]) are pure and tested
//! on recorded text. The others touch /proc, /sys and debugfs, and nothing else. None of them judges.

pub mod child;
pub mod counters;
pub mod cpu;
pub mod exec;
pub mod fault;
pub mod files;
pub mod fork;
pub mod gup;
pub mod kallsyms;
pub mod mapping;
pub mod measure;
pub mod meter;
pub mod realtime;
pub mod scenario;
pub mod site;
pub mod stop_in_kernel;
pub mod timing;
pub mod trace_text;
pub mod tracer;
pub mod walkers;
