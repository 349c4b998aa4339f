//! Kernels that are built and wait for their boot. Whoever has a guest to spare takes the next one; there is none any more
//! when nothing waits and nobody builds.

use std::sync::{Condvar, Mutex, PoisonError};

use super::locked;

#[derive(Debug)]
pub struct Queue {
    /// By cell: the lowest goes first.
    ranks: Vec<usize>,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: Vec<usize>,
    builders: usize,
}

/// While there is one of them, more may come.
#[derive(Debug)]
pub struct Builder<'a>(&'a Queue);

impl Queue {
    pub fn new(ranks: Vec<usize>) -> Queue {
        Queue { ranks, state: Mutex::default(), changed: Condvar::new() }
    }

    pub fn builder(&self) -> Builder<'_> {
        locked(&self.state).builders += 1;
        Builder(self)
    }

    /// Waits for a kernel; `None` when there will be no more.
    pub fn next(&self) -> Option<usize> {
        let nothing_yet = |state: &mut QueueState| state.waiting.is_empty() && state.builders > 0;
        let state = self.changed.wait_while(locked(&self.state), nothing_yet);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let first = (0..state.waiting.len()).min_by_key(|at| self.ranks.get(state.waiting[*at]))?;
        Some(state.waiting.remove(first))
    }
}

impl Builder<'_> {
    pub fn built(&self, cell: usize) {
        locked(&self.0.state).waiting.push(cell);
        self.0.changed.notify_all();
    }
}

/// However its thread ends: nobody waits for it any more.
impl Drop for Builder<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).builders -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_rank_goes_first_and_the_end_comes_when_all_builders_are_done() {
        let queue = Queue::new(vec![2, 0, 1]);
        let (one, other) = (queue.builder(), queue.builder());
        for cell in [0, 2, 1] {
            one.built(cell);
        }
        assert_eq!([queue.next(), queue.next()], [Some(1), Some(2)]);
        drop(one);
        std::thread::scope(|scope| {
            let last = scope.spawn(|| [queue.next(), queue.next(), queue.next()]);
            other.built(2);
            drop(other);
            let mut got = last.join().unwrap();
            got.sort_unstable();
            assert_eq!(got, [None, Some(0), Some(2)]);
        });
    }
}
