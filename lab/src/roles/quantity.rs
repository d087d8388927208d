//! Kubernetes quantities of bytes.

/// A mebibyte.
pub const MIB: u64 = 1 << 20;

/// A quantity of bytes: whole numbers with a binary or decimal suffix.
pub fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.len() - quantity.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = quantity.split_at(digits);
    let factor = match suffix {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => MIB,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, expected) in
            [("10Gi", Some(10 << 30)), ("1048576", Some(MIB)), ("3M", Some(3_000_000)), ("1.5Gi", None), ("", None), ("Gi", None)]
        {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
