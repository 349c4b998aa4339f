//! What several guests saw that ran the same kernel at the same time, each with a share of the guest tests, as if it had
//! been one guest. Keeps every measurement, splat and taint of all of them; of several that did not end by themselves it tells
//! how the first did. It came to its end only if all of them did.

use super::{Boot, GuestEnd, Ran};

impl Boot {
    /// One boot of `guests`, in their order.
    pub fn together(guests: Vec<Boot>) -> Boot {
        let mut all: Option<Ran> = None;
        for (index, guest) in guests.into_iter().enumerate() {
            let number = index.saturating_add(1);
            let ran = match guest {
                Boot::Ran(ran) => *ran,
                Boot::NotRun => return Boot::Infra { why: format!("guest {number} was not booted") },
                Boot::Infra { why } => return Boot::Infra { why: format!("guest {number}: {why}") },
            };
            all = Some(match all {
                Some(before) => before.and(ran, number),
                None => ran,
            });
        }
        all.map_or(Boot::NotRun, |ran| Boot::Ran(Box::new(ran)))
    }
}

impl Ran {
    /// This, and what guest `number` saw.
    fn and(mut self, other: Ran, number: usize) -> Ran {
        let both = |one: Option<f64>, other: Option<f64>| Some(one?.max(other?));
        self.guests = self.guests.saturating_add(other.guests);
        self.secs = self.secs.max(other.secs);
        self.kernel_secs = both(self.kernel_secs, other.kernel_secs);
        self.boot_secs = both(self.boot_secs, other.boot_secs);
        self.test_secs = both(self.test_secs, other.test_secs);
        self.kernel_spoke &= other.kernel_spoke;
        if self.hello.is_some() && other.hello.is_some() && self.hello != other.hello {
            self.rejects.push(format!("guest {number} says that it runs on something else"));
        }
        self.hello = self.hello.and(other.hello);
        self.trailer = self.trailer.zip(other.trailer).map(|(mut trailer, other)| {
            trailer.measured = trailer.measured.saturating_add(other.measured);
            trailer.tainted |= other.tainted;
            trailer
        });
        // The first that did not end by itself is the one to look at.
        if self.end == GuestEnd::QemuExited {
            (self.end, self.last_lines, self.watched) = (other.end, other.last_lines, other.watched);
        }
        self.qemu_said = match (self.qemu_said, other.qemu_said) {
            (Some(one), Some(other)) => Some(format!("{one}; {other}")),
            (one, other) => one.or(other),
        };
        self.planned.extend(other.planned);
        self.scenarios.extend(other.scenarios);
        self.rejects.extend(other.rejects.into_iter().map(|reject| format!("guest {number}: {reject}")));
        self.splats.extend(other.splats);
        self.splats_total = self.splats_total.saturating_add(other.splats_total);
        self
    }
}
