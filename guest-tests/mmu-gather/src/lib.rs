//! What the tests of mm/mmu_gather.c share: memory with a known number of page tables, and lockless walkers of these.
//! Which failures are forced and what is counted is not here but in the campaign (`configs/mmu-gather.yaml`), as data.

pub mod freeing;
pub mod gup;
pub mod mapping;
pub mod walkers;
