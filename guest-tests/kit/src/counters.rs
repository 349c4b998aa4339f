//! Pure readers of the kernel's counter files: lines with a key, rows by CPU, CPU lists, ring-buffer stats.

use std::iter::Sum;

/// The first word.
pub fn first(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The second word of the line whose first word is `key`, with or without a colon behind it.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let mut line = lines.find(|line| line.clone().next().is_some_and(|word| is_key(word, key)))?;
    line.nth(1)?.parse().ok()
}

fn is_key(word: &str, key: &str) -> bool {
    word.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest == ":")
}

/// The numbers by CPU of the row that ends with `words`, in any case: in /proc/interrupts, architectures name a row
/// differently but describe it alike. None where a kernel has no such row, or one without numbers.
pub fn row(text: &str, words: &str) -> Option<Vec<u64>> {
    let words = words.to_lowercase();
    let row = text.lines().find(|line| line.trim_end().to_lowercase().ends_with(&words))?;
    let (_, row) = row.split_once(':')?;
    let counts: Vec<u64> = row.split_whitespace().map_while(|word| word.parse().ok()).collect();
    if counts.is_empty() { None } else { Some(counts) }
}

/// How many CPUs a list such as `0-3,5` names.
pub fn cpus_in_list(text: &str) -> Option<u32> {
    let mut count = 0;
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)?.checked_add(1)?;
    }
    Some(count)
}

/// One CPU's ring buffer, from its `stats` file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingBuffer {
    /// Events in the buffer now.
    pub entries: u64,
    /// Events that were recorded or tried and are gone: overwritten, lost in nested commits, or dropped.
    pub lost: u64,
}

impl Sum for RingBuffer {
    fn sum<I: Iterator<Item = RingBuffer>>(all: I) -> RingBuffer {
        let add = |total: RingBuffer, one: RingBuffer| RingBuffer {
            entries: total.entries + one.entries,
            lost: total.lost + one.lost,
        };
        all.fold(RingBuffer::default(), add)
    }
}

/// Reads `per_cpu/cpuN/stats`; every field that is needed must be there.
pub fn ring_buffer(text: &str) -> Option<RingBuffer> {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':')?.trim().parse().ok()
    };
    let lost = field("overrun")? + field("commit overrun")? + field("dropped events")?;
    Some(RingBuffer { entries: field("entries")?, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_whole_first_word() {
        let text = "nr_things_extra 9\nnr_things 226\nnr_free 5\nSlab:   77 kB\ndentry   12  40\n";
        assert_eq!(keyed(text, "nr_things"), Some(226));
        assert_eq!((keyed(text, "Slab"), keyed(text, "dentry")), (Some(77), Some(12)));
        assert_eq!((keyed(text, "nr_thing"), keyed(text, "226")), (None, None));
        assert_eq!((keyed("nr_things\n", "nr_things"), keyed("nr_things x\n", "nr_things")), (None, None));
    }

    #[test]
    fn a_file_may_begin_with_its_number() {
        assert_eq!((first("226\t17\n"), first("5\n")), (Some(226), Some(5)));
        assert_eq!((first(""), first("nr 5\n")), (None, None));
    }

    const CALLS: &str = "function call interrupts";

    #[test]
    fn a_row_stops_at_its_description() {
        let text = "           CPU0       CPU1\n  4:         12          0   IO-APIC   4-edge      ttyS0\n\
                    RES:          3          4   Rescheduling interrupts\n\
                    CAL:       1024        200   Function call interrupts\n";
        assert_eq!(row(text, CALLS), Some(vec![1024, 200]));
    }

    #[test]
    fn a_kernel_may_lack_a_row() {
        assert_eq!(row("  0:   1   timer\n", CALLS), None);
        assert_eq!(row("CAL:   Function call interrupts\n", CALLS), None);
    }

    #[test]
    fn cpu_lists_count_ranges_and_single_cpus() {
        assert_eq!(cpus_in_list("0\n"), Some(1));
        assert_eq!(cpus_in_list("0-3\n"), Some(4));
        assert_eq!(cpus_in_list("0,2-3,7\n"), Some(4));
        for bad in ["", "\n", "3-0", "a-b", "0,"] {
            assert_eq!(cpus_in_list(bad), None, "{bad:?}");
        }
    }

    const STATS: &str = "entries: 803\noverrun: 1\ncommit overrun: 2\nbytes: 33204\n\
                         oldest event ts:     1.704561\nnow ts:     2.160011\ndropped events: 4\nread events: 0\n";

    #[test]
    fn every_way_to_lose_an_event_counts_as_lost() {
        assert_eq!(ring_buffer(STATS), Some(RingBuffer { entries: 803, lost: 7 }));
    }

    #[test]
    fn stats_without_a_needed_field_are_no_stats() {
        for field in ["entries", "overrun", "commit overrun", "dropped events"] {
            let without: Vec<&str> = STATS.lines().filter(|line| !line.starts_with(field)).collect();
            assert_eq!(ring_buffer(&without.join("\n")), None, "{field}");
        }
    }
}
