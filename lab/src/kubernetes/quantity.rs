//! Quantities as Kubernetes writes them: one canonical text for each value, in the family of units that the client chose.

use serde_json::Value;

/// Units below one, with their power of ten.
const SMALL: [(&str, i32); 3] = [("n", -9), ("u", -6), ("m", -3)];
/// Units above one, with their power of ten.
const LARGE: [(&str, i32); 6] = [("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Units that are powers of 1024.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Billionths in one: nothing finer is kept.
const NANO: i128 = 1_000_000_000;
/// Billionths in a thousandth.
const MILLI: i128 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

/// A quantity.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// In billionths.
    nano: i128,
    family: Family,
}

fn power(base: i128, exponent: u32) -> Option<i128> {
    base.checked_pow(exponent)
}

/// Divides and rounds away from zero, as the real type does with what it cannot keep.
fn rounded(value: i128, step: i128) -> i128 {
    let whole = value / step;
    if value % step == 0 { whole } else { whole + value.signum() }
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// What Go's parser says.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        const SUFFIX: &str = "unable to parse quantity's suffix";
        if text.is_empty() {
            return Err("empty string");
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let negative = text.starts_with('-');
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.is_empty() || fraction.contains('.') || whole.is_empty() && fraction.is_empty() {
            return Err(SHAPE);
        }
        let (family, base, exponent): (Family, i128, i32) = if suffix.is_empty() {
            (Family::Decimal, 10, 0)
        } else if let Some((_, exponent)) = SMALL.iter().chain(&LARGE).find(|(unit, _)| *unit == suffix) {
            (Family::Decimal, 10, *exponent)
        } else if let Some(index) = BINARY.iter().position(|unit| *unit == suffix) {
            (Family::Binary, 1024, i32::try_from(index).unwrap_or_default() + 1)
        } else if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty()) {
            (Family::Exponent, 10, exponent.parse().map_err(|_| SUFFIX)?)
        } else {
            let good = |c: char| "eEinumkKMGTP+-0123456789".contains(c);
            return Err(if suffix.chars().all(good) { SUFFIX } else { SHAPE });
        };
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| SHAPE)?;
        let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        // digits / 10^places × base^exponent × 10^9
        let value = (|| {
            let mut value = digits.checked_mul(NANO)?;
            let shift = if base == 10 { exponent.checked_sub(places)? } else { places.checked_neg()? };
            if base == 1024 {
                value = value.checked_mul(power(1024, u32::try_from(exponent).ok()?)?)?;
            }
            Some(if shift >= 0 {
                value.checked_mul(power(10, shift.unsigned_abs())?)?
            } else {
                power(10, shift.unsigned_abs()).map_or(value.signum(), |step| rounded(value, step))
            })
        })();
        // What is larger than anything real is kept as the largest.
        let value = value.unwrap_or(i128::MAX / 2);
        Ok(Self { nano: if negative { -value } else { value }, family })
    }

    /// That of a field: texts and plain numbers are quantities.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text).ok(),
            Value::Number(number) => Self::parse(&number.to_string()).ok(),
            _ => None,
        }
    }

    /// The same in whole thousandths, as lists of resources keep it.
    #[must_use]
    pub fn in_thousandths(self) -> Self {
        Self { nano: rounded(self.nano, MILLI) * MILLI, ..self }
    }

    /// In billionths, for comparisons.
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// The canonical text.
    pub fn text(self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        let whole = self.nano / NANO;
        if self.family == Family::Binary && self.nano % NANO == 0 && whole.abs() >= 1024 {
            let (mut number, mut unit) = (whole, 0);
            while number % 1024 == 0 && unit < BINARY.len() {
                number /= 1024;
                unit += 1;
            }
            let suffix = if unit == 0 { "" } else { BINARY[unit - 1] };
            return format!("{number}{suffix}");
        }
        let (mut number, mut exponent) = (self.nano, -9);
        while number % 1000 == 0 && exponent < 18 {
            number /= 1000;
            exponent += 3;
        }
        if self.family == Family::Exponent {
            return if exponent == 0 { number.to_string() } else { format!("{number}e{exponent}") };
        }
        let suffix = SMALL.iter().chain(&LARGE).find(|(_, power)| *power == exponent).map_or("", |(unit, _)| unit);
        format!("{number}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_texts() {
        for (text, canonical) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1000000k", "1G"),
            ("1073741824", "1073741824"),
            ("1e3", "1e3"),
            ("1E9", "1e9"),
            ("100Ki", "100Ki"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("-1Gi", "-1Gi"),
            ("0", "0"),
            ("0.0001", "100u"),
            ("12000", "12k"),
            ("+3", "3"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().text(), canonical, "{text}");
        }
        assert_eq!(Quantity::parse("100u").unwrap().in_thousandths().text(), "1m");
    }

    #[test]
    fn what_is_none() {
        for text in ["", "1Gx", "Gi", "1..2", "1 Gi", "1ee", "."] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }
}
