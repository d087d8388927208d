//! Hostile input for everything that reads text from outside: noise, damaged good texts, deep nesting, and long repetitions, of
//! which time must not grow faster than length. `fuzz/run` looks for more, guided by coverage.

use std::thread;

use mtv_test::parsers::{ALL, Parser};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

/// Inputs of each kind for each parser.
const CASES: u32 = 200;

/// A good text with a few places cut, doubled or overwritten: it reaches deeper into a parser than noise does.
fn damaged(parser: &'static Parser) -> impl Strategy<Value = String> {
    let cut = (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(parser.pieces.to_vec()));
    (prop::sample::select(parser.seeds.to_vec()), prop::collection::vec(cut, 1..6)).prop_map(|(seed, cuts)| {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, length, piece) in cuts {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

fn pieces(parser: &'static Parser) -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![prop::sample::select(parser.pieces.to_vec()).prop_map(str::to_owned), "\\PC{0,4}"], 0..40)
        .prop_map(|parts| parts.concat())
}

#[test]
fn no_input_makes_a_parser_panic() {
    let mut inputs = 0;
    for parser in ALL {
        let strategy = prop_oneof![damaged(parser), pieces(parser), "\\PC{0,200}"];
        let mut runner = TestRunner::new(Config { cases: 3 * CASES, failure_persistence: None, ..Config::default() });
        if let Err(error) = runner.run(&strategy, |text| {
            (parser.feed)(text.as_bytes());
            Ok(())
        }) {
            panic!("{}: {error}", parser.name);
        }
        for bytes in [&b"\xff\xfe"[..], b"\0", b"", b"\xef\xbb\xbf", b"\xf0\x9f\x92"] {
            (parser.feed)(bytes);
        }
        inputs += 3 * CASES + 5;
    }
    println!("{} parsers, {inputs} inputs", ALL.len());
}

#[test]
fn good_texts_and_all_beginnings_of_them_are_read() {
    let mut inputs = 0;
    for parser in ALL {
        for seed in parser.seeds {
            for end in 0..=seed.len() {
                (parser.feed)(&seed.as_bytes()[..end]);
                inputs += 1;
            }
        }
    }
    println!("{inputs} beginnings");
}

/// Nanoseconds of CPU that this thread has used: what others do on the machine does not count.
fn used() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// CPU time of one input, the best of a few: the least disturbed.
fn cost(parser: &Parser, text: &str) -> u64 {
    let once = || {
        let before = used();
        (parser.feed)(text.as_bytes());
        used() - before
    };
    (0..2).map(|_| once()).min().unwrap_or_default()
}

/// Eight times the length may cost twenty-four times as much, three times what is linear; a square would be sixty-four. Only
/// growth counts: how fast the machine is does not matter.
#[test]
fn time_grows_with_length_and_not_with_its_square() {
    const SHORT: usize = 4 * 1024;
    const FACTOR: usize = 8;
    const BOUND: u64 = 24;
    // A stack as the main thread's, for whatever nests.
    let worker = thread::Builder::new().stack_size(8 * 1024 * 1024).spawn(|| {
        let mut measured = 0;
        let mut slow = Vec::new();
        for parser in ALL {
            for piece in parser.pieces {
                for seed in ["", parser.seeds[0]] {
                    let of = |length: usize| format!("{seed}{}", piece.repeat(length / piece.len()));
                    let (short, long) = (of(SHORT), of(SHORT * FACTOR));
                    let (mut little, mut much) = (cost(parser, &short), cost(parser, &long));
                    // Below a millisecond noise is larger than what is measured.
                    if much > 1_000_000 && much > BOUND * little.max(1) {
                        // Once more before anybody is accused.
                        (little, much) = (little.max(cost(parser, &short)), much.min(cost(parser, &long)));
                    }
                    if much > 1_000_000 && much > BOUND * little.max(1) {
                        slow.push(format!(
                            "{}: {piece:?} × {}: {little} ns for {} bytes, {much} ns for {}",
                            parser.name,
                            long.len() / piece.len(),
                            short.len(),
                            long.len()
                        ));
                    }
                    measured += 1;
                }
            }
        }
        (measured, slow)
    });
    let (measured, slow) = worker.unwrap().join().unwrap();
    println!("{measured} growths measured, {} too steep", slow.len());
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn depth_ends_no_process() {
    // A frame has hundreds of bytes, the stack of a test's thread two megabytes.
    const DEPTH: usize = 10_000;
    for parser in ALL {
        for piece in parser.pieces {
            (parser.feed)(piece.repeat(DEPTH).as_bytes());
        }
    }
    let nested = |open: &str, close: &str| open.repeat(DEPTH) + &close.repeat(DEPTH);
    for parser in ALL {
        for (open, close) in [("<a>", "</a>"), ("[", "]"), ("(", ")"), ("{\"a\":", "}"), ("x = [", "]"), ("x = {a = ", "}")] {
            (parser.feed)(nested(open, close).as_bytes());
        }
    }
}
