//! Takes a page of a tracefs ring buffer apart, as `trace_pipe_raw` gives it (kernel/trace/ring_buffer.c, described in
//! include/linux/ring_buffer.h, `enum ring_buffer_type`). Pure. The kernel's own text of the same events costs an emulated
//! CPU some 60 us a line.

use crate::event_format::{self, Field};

/// Of the word that begins an event, the bits that say of what kind it is; the others are the time since the last one.
const KIND_BITS: u32 = 5;
/// Below these, how many words of data there are; 0: the next word says how many bytes.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;

const WORD: usize = size_of::<u32>();
/// The bits of a time that a word cannot hold beside its kind.
const DELTA_BITS: u32 = 27;
/// The same of an absolute time, whose highest bits are those of the page.
const STAMP_BITS: u32 = 59;

/// What events were lost before a page is said in the two highest bits of its length; who counts them reads `stats`.
const LENGTH_MASK: u64 = (1 << 30) - 1;

/// Where things are in a page.
#[derive(Debug)]
pub struct PageFormat {
    timestamp: Field,
    length: Field,
    data: usize,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds of the trace clock.
    pub time: u64,
    pub data: &'a [u8],
}

impl PageFormat {
    /// From the text of `events/header_page`.
    pub fn parse(text: &str) -> Result<PageFormat, String> {
        Ok(PageFormat {
            timestamp: event_format::field(text, "timestamp")?,
            length: event_format::field(text, "commit")?,
            data: event_format::field(text, "data")?.offset(),
        })
    }

    /// Adds the events of `page` to `records`.
    ///
    /// # Errors
    /// When anything in it is not as it should be: fail closed.
    pub fn read<'a>(&self, page: &'a [u8], records: &mut Vec<Record<'a>>) -> Result<(), String> {
        let length =
            usize::try_from(self.length.of(page)? & LENGTH_MASK).map_err(|error| error.to_string())?;
        let end = self.data.checked_add(length).filter(|end| *end <= page.len());
        let end = end.ok_or_else(|| format!("a page of {} bytes with {length} of data", page.len()))?;
        let page_time = self.timestamp.of(page)?;
        let mut rest = &page[self.data..end];
        let mut time = page_time;
        while !rest.is_empty() {
            let word = word(rest)?;
            let (kind, delta) = (word & ((1 << KIND_BITS) - 1), u64::from(word >> KIND_BITS));
            // Nothing follows.
            if kind == PADDING && delta == 0 {
                break;
            }
            let (data, next) = split(kind, &rest[WORD..])?;
            match kind {
                TIME_EXTEND => time = time.wrapping_add(long_time(delta, data)?),
                TIME_STAMP => time = page_time >> STAMP_BITS << STAMP_BITS | long_time(delta, data)?,
                // What was begun and taken back.
                PADDING => time = time.wrapping_add(delta),
                _ => {
                    time = time.wrapping_add(delta);
                    records.push(Record { time, data });
                }
            }
            rest = next;
        }
        Ok(())
    }
}

/// What belongs to an event of this kind, and what comes after it.
fn split(kind: u32, rest: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let cut = || format!("an event of kind {kind} that does not end in its page");
    let (head, bytes) = match kind {
        // The length counts its own word.
        0 | PADDING => (WORD, (word(rest)? as usize).checked_sub(WORD).ok_or_else(cut)?),
        TIME_EXTEND | TIME_STAMP => (0, WORD),
        words => (0, words as usize * WORD),
    };
    rest[head..].split_at_checked(bytes).ok_or_else(cut)
}

/// Of two parts.
fn long_time(low: u64, high: &[u8]) -> Result<u64, String> {
    Ok(low | u64::from(word(high)?) << DELTA_BITS)
}

fn word(bytes: &[u8]) -> Result<u32, String> {
    let word = bytes.first_chunk().map(|word| u32::from_ne_bytes(*word));
    word.ok_or_else(|| "an event that does not end in its page".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
                          \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
                          \tfield: char overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
                          \tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

    fn page(time: u64, words: &[u32]) -> Vec<u8> {
        let length = (words.len() * WORD) as u64;
        let words = words.iter().flat_map(|word| word.to_ne_bytes());
        let mut page: Vec<u8> = [time, length].iter().flat_map(|number| number.to_ne_bytes()).collect();
        page.extend(words);
        page.resize(4096, 0);
        page
    }

    /// When, and the first word of what.
    fn read(page: &[u8]) -> Result<Vec<(u64, u32)>, String> {
        let mut records = Vec::new();
        PageFormat::parse(HEADER).unwrap().read(page, &mut records)?;
        records.iter().map(|record| Ok((record.time, word(record.data)?))).collect()
    }

    fn begin(kind: u32, delta: u32) -> u32 {
        kind | delta << KIND_BITS
    }

    #[test]
    fn times_add_up_and_lengths_are_of_two_kinds() {
        let words = [begin(2, 5), 11, 0, begin(0, 7), 12, 22, 0, begin(1, 1), 33];
        assert_eq!(read(&page(1000, &words)), Ok(vec![(1005, 11), (1012, 22), (1013, 33)]));
    }

    #[test]
    fn a_long_pause_and_an_absolute_time_are_no_events() {
        let pause = [begin(TIME_EXTEND, 3), 2, begin(1, 1), 11];
        assert_eq!(read(&page(1000, &pause)), Ok(vec![(1000 + 3 + (2 << 27) + 1, 11)]));
        let high = 1 << 60;
        let stamp = [begin(TIME_STAMP, 3), 2, begin(1, 1), 11];
        assert_eq!(read(&page(high + 5, &stamp)), Ok(vec![(high + 3 + (2 << 27) + 1, 11)]));
    }

    #[test]
    fn what_was_taken_back_is_no_event_and_padding_ends_a_page() {
        let words = [begin(PADDING, 4), 8, 0, begin(1, 1), 11, begin(PADDING, 0), 99, 99];
        assert_eq!(read(&page(1000, &words)), Ok(vec![(1005, 11)]));
    }

    #[test]
    fn lost_events_do_not_change_where_a_page_ends() {
        let mut lossy = page(1000, &[begin(1, 1), 11]);
        lossy[8..16].copy_from_slice(&(8_u64 | 3 << 30).to_ne_bytes());
        assert_eq!(read(&lossy), Ok(vec![(1001, 11)]));
    }

    #[test]
    fn an_empty_page_has_no_events() {
        assert_eq!(read(&page(1000, &[])), Ok(vec![]));
    }

    #[test]
    fn a_page_that_is_cut_anywhere_is_an_error_or_has_fewer_events() {
        let words = [begin(2, 5), 11, 0, begin(0, 7), 12, 22, 0, begin(TIME_EXTEND, 1), 0, begin(1, 1), 33];
        let whole = page(1000, &words);
        let all = read(&whole).unwrap();
        for length in 0..words.len() * WORD {
            let mut cut = whole.clone();
            cut[8..16].copy_from_slice(&(length as u64).to_ne_bytes());
            if let Ok(found) = read(&cut) {
                assert!(found.len() < all.len() && all.starts_with(&found), "{length}: {found:?}");
            }
        }
        for length in 0..16 {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        assert!(read(&whole[..40]).is_err());
    }

    #[test]
    fn a_length_that_does_not_count_itself_is_an_error() {
        assert!(read(&page(1000, &[begin(0, 7), 3, 22])).is_err());
    }

    /// What a page may hold, with the time and the words of each event that comes of it.
    fn entry() -> impl Strategy<Value = (u64, Vec<u32>, Vec<u32>)> {
        let delta = 1..1_u32 << DELTA_BITS;
        prop_oneof![
            (delta.clone(), vec(any::<u32>(), 1..9)).prop_map(|(delta, data)| {
                let words = [&[begin(u32::try_from(data.len()).unwrap(), delta)], &data[..]].concat();
                (delta.into(), words, data)
            }),
            (delta.clone(), vec(any::<u32>(), 1..9)).prop_map(|(delta, data)| {
                let length = u32::try_from((1 + data.len()) * WORD).unwrap();
                (delta.into(), [&[begin(0, delta), length], &data[..]].concat(), data)
            }),
            (delta.clone(), 0..1000_u32).prop_map(|(delta, long)| {
                (
                    u64::from(delta) | u64::from(long) << DELTA_BITS,
                    vec![begin(TIME_EXTEND, delta), long],
                    vec![],
                )
            }),
            (delta, 1..5_u32).prop_map(|(delta, words)| {
                let length = (words + 1) * 4;
                let taken_back = [vec![begin(PADDING, delta), length], vec![0; words as usize]].concat();
                (delta.into(), taken_back, vec![])
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_in_its_order_and_at_its_time(entries in vec(entry(), 0..40)) {
            let words = entries.iter().flat_map(|(_, words, _)| words.clone());
            let page = page(1000, &words.collect::<Vec<_>>());
            let mut time = 1000;
            let expected = entries.iter().filter_map(|(delta, _, data)| {
                time += delta;
                let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_ne_bytes()).collect();
                (!data.is_empty()).then_some((time, bytes))
            });
            let mut records = Vec::new();
            PageFormat::parse(HEADER).unwrap().read(&page, &mut records).unwrap();
            let found: Vec<_> = records.iter().map(|record| (record.time, record.data.to_vec())).collect();
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..4200), length in 0..4200_u64) {
            let mut page = bytes;
            if let Some(field) = page.get_mut(8..16) {
                field.copy_from_slice(&length.to_ne_bytes());
            }
            let _ = PageFormat::parse(HEADER).unwrap().read(&page, &mut Vec::new());
        }
    }
}
