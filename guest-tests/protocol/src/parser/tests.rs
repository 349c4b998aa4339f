use proptest::prelude::*;

use super::*;
use crate::{Counts, Done, Encoder, GcovPiece, Hello, Level, Measured, Trailer};

fn nonce() -> Nonce {
    Nonce::from_bytes([0x5a; 16])
}

fn one_of_each_kind() -> Vec<Message> {
    let named = |name: &str, number| (name.to_owned(), number);
    let forced = Counts([named("send", 200), named("receive", 600)].into());
    let level = Level { before: 10, peak: 226, after: 10 };
    vec![
        Message::Hello(Hello {
            kernel_release: "7.2.12".into(),
            cpus_online: 4,
            readings: [named("/sys/kernel/rcu_expedited", 0)].into(),
            symbols: vec!["do_exit".into()],
        }),
        Message::Plan { scenarios: vec!["munmap".into(), "exit".into()] },
        Message::Begin { scenario: "munmap".into() },
        Message::Alive { scenario: "munmap".into() },
        Message::Measured {
            scenario: "munmap".into(),
            measured: Box::new(Measured {
                injected_in: Some("do_exit".into()),
                demanded: 200,
                injected: 200,
                bystanders: 3,
                forced,
                levels: [("things".to_owned(), level)].into(),
                rises: [named("interrupts", 612)].into(),
                quiet_micros: 900,
                forced_micros: 90_000,
                done: vec![Done { what: "walks".into(), count: 7 }],
                ..Measured::default()
            }),
        },
        Message::Broken { scenario: "exit".into(), why: "line\none, \"two\" \u{1f980}".into() },
        Message::Covered(GcovPiece {
            scenario: "exit".into(),
            file: "tree/mm/a.gcda".into(),
            number: 0,
            last: true,
            data: "QUJD".into(),
        }),
        Message::Trailer(Trailer { measured: 1, tainted: 512 }),
    ]
}

fn encode(messages: &[Message]) -> Vec<u8> {
    let mut encoder = Encoder::new(nonce());
    messages.iter().flat_map(|message| encoder.encode(message).into_bytes()).collect()
}

fn parse_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Message, Reject>> {
    let mut parser = Parser::new(nonce());
    let mut lines = Vec::new();
    for piece in pieces {
        parser.feed(piece, &mut |line| lines.push(line));
    }
    parser.finish(&mut |line| lines.push(line));
    lines
}

fn parse(bytes: &[u8]) -> Vec<Result<Message, Reject>> {
    parse_in_pieces([bytes])
}

fn only_reject(bytes: &[u8]) -> RejectKind {
    let [Err(reject)] = &parse(bytes)[..] else { panic!("not one reject: {:?}", parse(bytes)) };
    reject.kind.clone()
}

fn framed(sequence: u64, json: &str) -> Vec<u8> {
    format!("pp1 {} {sequence} {:08x} {json}\n", nonce(), crc32fast::hash(json.as_bytes())).into_bytes()
}

#[test]
fn every_kind_of_message_survives_the_channel() {
    let sent = one_of_each_kind();
    let received: Result<Vec<_>, _> = parse(&encode(&sent)).into_iter().collect();
    assert_eq!(received, Ok(sent));
}

#[test]
fn the_list_of_kinds_is_the_list_of_messages() {
    let mut kinds = Vec::new();
    for message in one_of_each_kind() {
        kinds.push(serde_json::to_value(&message).unwrap()["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, KINDS);
}

#[test]
fn a_line_of_another_boot_is_rejected_for_its_nonce() {
    let line = Encoder::new(Nonce::from_bytes([1; 16])).encode(&Message::Plan { scenarios: vec![] });
    assert_eq!(only_reject(line.as_bytes()), RejectKind::WrongNonce);
}

#[test]
fn a_changed_message_is_rejected_for_its_checksum() {
    let line = String::from_utf8(encode(&[Message::Trailer(Trailer { measured: 2, tainted: 512 })])).unwrap();
    let forged = line.replace("512", "0");
    assert_ne!(line, forged);
    assert_eq!(only_reject(forged.as_bytes()), RejectKind::BadChecksum);
}

#[test]
fn a_missing_line_is_one_gap_and_what_follows_is_read() {
    let bytes = encode(&one_of_each_kind());
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.remove(1);
    let results = parse(&lines.concat());
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().map_err(|reject| &reject.kind)).collect();
    assert!(kinds[0].is_ok());
    assert_eq!(kinds[1], Err(&RejectKind::SequenceGap { expected: 1, found: 2 }));
    assert!(kinds[2..].iter().all(Result::is_ok));
}

#[test]
fn a_line_sent_twice_is_a_repeat() {
    let line = encode(&[Message::Plan { scenarios: vec![] }]);
    let results = parse(&[line.clone(), line].concat());
    assert!(results[0].is_ok());
    assert_eq!(results[1].as_ref().unwrap_err().kind, RejectKind::SequenceRepeat { expected: 1, found: 0 });
}

#[test]
fn the_highest_sequence_number_does_not_overflow() {
    let found = u64::MAX;
    assert_eq!(only_reject(&framed(found, "{}")), RejectKind::SequenceGap { expected: 0, found });
}

#[test]
fn an_unknown_kind_is_named() {
    let json = r#"{"kind":"verdict","pass":true}"#;
    assert_eq!(only_reject(&framed(0, json)), RejectKind::UnknownKind("verdict".into()));
}

#[test]
fn intact_json_that_is_no_message_is_told_apart_from_garbage() {
    for json in ["", "{", "[]", r#"{"kind":"trailer"}"#, r#"{"kind":"begin","scenario":3}"#] {
        let kind = only_reject(&framed(0, json));
        assert!(matches!(kind, RejectKind::BadMessage(_)), "{json}: {kind:?}");
    }
}

#[test]
fn number_out_of_range_is_refused_in_any_field() {
    for message in one_of_each_kind() {
        let sound = serde_json::to_value(&message).unwrap();
        for at in numbers(&sound, String::new()) {
            for number in ["18446744073709551615", "9007199254740993", "-1", "0.5", "1e300"] {
                let mut hostile = sound.clone();
                *hostile.pointer_mut(&at).unwrap() = serde_json::from_str(number).unwrap();
                let kind = only_reject(&framed(0, &hostile.to_string()));
                assert!(matches!(kind, RejectKind::Impossible(_)), "{at} {number}: {kind:?}");
            }
        }
    }
}

/// JSON pointers to the numbers in `value`.
fn numbers(value: &serde_json::Value, at: String) -> Vec<String> {
    match value {
        serde_json::Value::Number(_) => vec![at],
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| numbers(item, format!("{at}/{index}")))
            .collect(),
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| numbers(field, format!("{at}/{}", name.replace('/', "~1"))))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn duplicate_name_of_a_count_is_refused() {
    let measured = serde_json::to_value(Measured::default()).unwrap().to_string();
    let measured = measured.replace("\"forced\":{}", "\"forced\":{\"send\":1,\"send\":0}");
    let json = format!(r#"{{"kind":"measured","scenario":"s","measured":{measured}}}"#);
    assert!(matches!(only_reject(&framed(0, &json)), RejectKind::BadMessage(_)), "{json}");
}

#[test]
fn duplicate_field_is_refused() {
    let json = r#"{"kind":"trailer","measured":1,"tainted":1,"tainted":0}"#;
    assert!(matches!(only_reject(&framed(0, json)), RejectKind::BadMessage(_)));
}

#[test]
fn text_in_a_reject_is_limited() {
    let long = "x".repeat(10_000);
    for json in [
        format!(r#"{{"kind":"{long}"}}"#),
        format!(r#"{{"kind":"measured","scenario":"a","measured":{{"grace_periods":"{long}"}}}}"#),
        format!(r#"{{"kind":"trailer","measured":0,"tainted":0,"{long}":-1}}"#),
    ] {
        let kind = only_reject(&framed(0, &json)).to_string();
        assert!(kind.len() < 300, "{kind}");
    }
}

#[test]
fn what_is_not_framed_is_garbage() {
    let crc = crc32fast::hash(b"{}");
    let nonce = nonce();
    let lines = [
        "\n".to_owned(),
        "hello\n".to_owned(),
        format!("pp2 {nonce} 0 {crc:08x} {{}}\n"),
        format!("pp1 {nonce} +0 {crc:08x} {{}}\n"),
        format!("pp1 {nonce} 0 {crc:x}0 {{}}\n").replace(&format!("{crc:x}0"), "123456789"),
        format!("pp1 {nonce} 0 zzzzzzzz {{}}\n"),
        format!("pp1 {nonce} 99999999999999999999 {crc:08x} {{}}\n"),
        format!("pp1 {nonce} 0 {crc:08x}\n"),
    ];
    for line in lines {
        assert_eq!(only_reject(line.as_bytes()), RejectKind::Garbage, "{line}");
    }
    assert_eq!(only_reject(b"\xff\xfe\x00\n"), RejectKind::Garbage);
}

#[test]
fn an_endless_line_is_one_reject_and_holds_no_more_than_the_limit() {
    let mut parser = Parser::new(nonce());
    let mut lines = Vec::new();
    for _ in 0..100 {
        parser.feed(&[b'x'; LINE_LIMIT], &mut |line| lines.push(line));
        assert!(parser.line.capacity() <= 2 * LINE_LIMIT);
    }
    let good = encode(&[Message::Plan { scenarios: vec![] }]);
    parser.feed(&[b"\n".as_slice(), &good].concat(), &mut |line| lines.push(line));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].as_ref().unwrap_err().kind, RejectKind::TooLong);
    assert!(lines[1].is_ok());
}

#[test]
fn a_line_of_exactly_the_limit_is_not_too_long() {
    let room = LINE_LIMIT - framed(0, r#"{"kind":""}"#).len() + 1;
    let line = framed(0, &format!(r#"{{"kind":"{}"}}"#, "k".repeat(room)));
    assert_eq!(line.len(), LINE_LIMIT + 1);
    assert!(matches!(only_reject(&line), RejectKind::UnknownKind(_)));
    let longer = framed(0, &format!(r#"{{"kind":"{}"}}"#, "k".repeat(room + 1)));
    assert_eq!(only_reject(&longer), RejectKind::TooLong);
}

#[test]
fn an_excerpt_is_short_and_printable() {
    let [Err(reject)] = &parse(&[0x1b; 1000])[..] else { panic!("one reject") };
    assert_eq!(reject.kind, RejectKind::Unterminated);
    assert_eq!(reject.excerpt, "\\x1b".repeat(EXCERPT_BYTES));
}

/// Sound lines with noise between them: what a hostile or broken guest could send.
fn noisy_channel() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<Vec<u8>> =
        encode(&one_of_each_kind()).split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let piece = prop_oneof![
        (0..lines.len()).prop_map(move |index| lines[index].clone()),
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_same_bytes_cut_anywhere_give_the_same_results(
        bytes in noisy_channel(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(parse_in_pieces(pieces), parse(&bytes));
    }

    #[test]
    fn every_line_gives_exactly_one_result(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let unterminated = bytes.last().is_some_and(|byte| *byte != b'\n');
        let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(parse(&bytes).len(), newlines + usize::from(unterminated));
    }

    #[test]
    fn one_flipped_bit_never_yields_another_message(line in 0..6usize, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let sent = &one_of_each_kind()[line];
        let mut bytes = encode(std::slice::from_ref(sent));
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        for result in parse(&bytes) {
            prop_assert!(result.is_err() || result.as_ref() == Ok(sent), "byte {} bit {}: {:?}", at, bit, result);
        }
    }
}
