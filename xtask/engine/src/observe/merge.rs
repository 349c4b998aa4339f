//! What several guests saw that ran the same kernel at the same time, each with a share of the guest tests, as if it had
//! been one guest. Keeps every measurement, splat and taint of all of them; of several that did not end by themselves it tells
//! how the first did. It came to its end only if all of them did.

use protocol::Trailer;

use super::{Boot, GuestEnd, Ran};

impl Boot {
    /// One boot of `guests`, in their order.
    pub fn merge(guests: Vec<Boot>) -> Boot {
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
    /// This, and what guest `number` saw. Both are taken apart, so that a new field has to be merged here to compile.
    fn and(self, other: Ran, number: usize) -> Ran {
        let Ran {
            accel,
            guests,
            secs,
            kernel_secs,
            boot_secs,
            test_secs,
            end,
            qemu_said,
            kernel_spoke,
            hello,
            mut planned,
            mut scenarios,
            trailer,
            mut rejects,
            mut splats,
            splats_total,
            last_lines,
            watched,
            mut coverage,
        } = self;
        let both = |one: Option<f64>, other: Option<f64>| Some(one?.max(other?));
        if hello.is_some() && other.hello.is_some() && hello != other.hello {
            rejects.push(format!("guest {number} says that it runs on something else"));
        }
        rejects.extend(other.rejects.into_iter().map(|reject| format!("guest {number}: {reject}")));
        planned.extend(other.planned);
        scenarios.extend(other.scenarios);
        splats.extend(other.splats);
        coverage.extend(other.coverage);
        // The first that did not end by itself is the one to look at.
        let (end, last_lines, watched) = match end {
            GuestEnd::QemuExited => (other.end, other.last_lines, other.watched),
            _ => (end, last_lines, watched),
        };
        Ran {
            // All guests of a boot have the same machine.
            accel,
            guests: guests.saturating_add(other.guests),
            secs: secs.max(other.secs),
            kernel_secs: both(kernel_secs, other.kernel_secs),
            boot_secs: both(boot_secs, other.boot_secs),
            test_secs: both(test_secs, other.test_secs),
            end,
            qemu_said: both_said(qemu_said, other.qemu_said),
            kernel_spoke: kernel_spoke && other.kernel_spoke,
            hello: hello.and(other.hello),
            planned,
            scenarios,
            trailer: trailer.zip(other.trailer).map(|(one, other)| both_trailers(one, other)),
            rejects,
            splats,
            splats_total: splats_total.saturating_add(other.splats_total),
            last_lines,
            watched,
            coverage,
        }
    }
}

fn both_said(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

fn both_trailers(one: Trailer, other: Trailer) -> Trailer {
    let Trailer { measured, tainted } = one;
    Trailer { measured: measured.saturating_add(other.measured), tainted: tainted | other.tainted }
}
