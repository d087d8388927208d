//! Durations as people write them: `90s`, `5m`, `1h30m`.

use std::time::Duration;

/// Units in descending order, with their milliseconds. Repeated or ascending units are refused: `1m1h` is a slip.
const UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longest duration that is accepted: 30 days. More is a slip, and sums of such waits stay far from overflow.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Reads a duration. The error says what is wrong and, after it, how to write it.
pub fn parse(text: &str) -> Result<Duration, (String, String)> {
    let example = || "write a number with its unit, such as \"90s\", \"5m\" or \"1h30m\"".to_owned();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(("a duration must not be empty".to_owned(), example()));
    }
    let mut total: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err((format!("`{text}` is no duration"), example()));
        }
        if unit.is_empty() {
            let mend = if after.is_empty() { format!("write \"{text}s\" for seconds, \"{text}m\" for minutes") } else { example() };
            return Err((format!("`{number}` has no unit"), mend));
        }
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err((format!("`{unit}` is no unit of time"), "units are `h`, `m`, `s` and `ms`".to_owned()));
        };
        if at < next_unit {
            return Err((format!("`{unit}` stands twice or after a smaller unit"), example()));
        }
        next_unit = at + 1;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(UNITS[at].1))
            .and_then(|n| n.checked_add(total))
            .filter(|n| Duration::from_millis(*n) <= LONGEST)
            .ok_or_else(|| (format!("`{text}` is longer than 30 days"), "choose a shorter time".to_owned()))?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration the way [`parse`] reads it.
pub fn format(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let parts = UNITS.iter().map(|(unit, size)| {
        let number = left / size;
        left %= size;
        (number, unit)
    });
    let text: Vec<String> = parts.filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.concat() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_ones() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2h", 7200), ("0s", 0), (" 1m1s ", 61), ("1000ms", 1)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn bad_ones() {
        for (text, what) in [
            ("", "must not be empty"),
            ("5", "`5` has no unit"),
            ("5 m", "`5` has no unit"),
            ("m", "`m` is no duration"),
            ("-5m", "`-5m` is no duration"),
            ("1.5h", "`1` has no unit"),
            ("5min", "`min` is no unit"),
            ("1m1h", "`h` stands twice or after"),
            ("1m1m", "`m` stands twice"),
            ("99999999999999999999h", "longer than 30 days"),
            ("721h", "longer than 30 days"),
            ("５m", "is no duration"),
        ] {
            let (message, help) = parse(text).unwrap_err();
            assert!(message.contains(what) && !help.is_empty(), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn round_trip(millis in 0u64..=2_592_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
