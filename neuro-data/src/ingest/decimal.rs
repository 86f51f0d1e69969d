//! Decimal numbers at the start of a text, for columns of millions of them.
//!
//! Figures are read eight at a time, as bytes of one word, and a number is rounded by one product with the reciprocal of its power
//! of ten (the first step of Lemire's method). What that leaves open goes to `fast-float2`: exponents, signs, names of numbers, more
//! figures than a word holds, and the one number in five hundred that lies too near to half way between two floats.
//!
//! # References
//! - D. Lemire, "Number parsing at a gigabyte per second", *Software: Practice and Experience* 51(8), 2021,
//!   doi:10.1002/spe.2984.

/// The number that a text starts with, rounded to the nearest float, and its length; `None` where it starts with none.
pub(super) fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    plain_decimal(text).or_else(|| fast_float2::parse_partial(text).ok())
}

/// How many figures a text starts with.
pub(super) fn figures(text: &[u8]) -> usize {
    take_figures(text, &mut 0)
}

/// Most figures that always fit a word.
const MOST_FIGURES: usize = 19;

/// [`decimal`] of figures with or without a point among them; `None` where the careful way is wanted.
#[inline]
fn plain_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut number = 0;
    let whole = match text {
        // Known where the point is, a processor reads on before it has found it.
        [figure @ b'0'..=b'9', b'.', ..] => {
            number = u64::from(figure - b'0');
            1
        }
        _ => take_figures(text, &mut number),
    };
    let (mut length, mut decimals) = (whole, 0);
    if text.get(whole) == Some(&b'.') {
        decimals = take_figures(text.get(whole + 1..)?, &mut number);
        length += 1 + decimals;
    }
    if whole == 0 || matches!(text.get(length), Some(b'e' | b'E')) || !fits_word(&text[..length]) {
        return None;
    }
    Some((shifted(number, decimals)?, length))
}

/// Whether figures, with or without a point, make a number that fits a word: zeros in front do not count.
fn fits_word(text: &[u8]) -> bool {
    let zeros = || text.iter().take_while(|byte| matches!(byte, b'0' | b'.')).count();
    text.len() <= MOST_FIGURES || text.len() - zeros() <= MOST_FIGURES
}

/// Appends the figures that a text starts with to a number; returns how many. What does not fit a word wraps around.
#[inline]
fn take_figures(text: &[u8], number: &mut u64) -> usize {
    let mut taken = 0;
    loop {
        let word = word(&text[taken..]) ^ 0x3030_3030_3030_3030;
        // A figure's byte is now 0 to 9, and the top bit of the first byte that is none becomes set.
        let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
        if others == 0 {
            *number = number.wrapping_mul(POWERS[8]).wrapping_add(value(word));
            taken += 8;
            continue;
        }
        let count = others.trailing_zeros() / 8;
        let figures = (word << 8) << (56 - 8 * count);
        *number = number.wrapping_mul(POWERS[count as usize]).wrapping_add(value(figures));
        return taken + count as usize;
    }
}

/// The first eight bytes of a text, blanks beyond its end.
#[inline]
fn word(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => {
            let mut bytes = [b' '; 8];
            bytes[..text.len()].copy_from_slice(text);
            u64::from_le_bytes(bytes)
        }
    }
}

/// The number of eight figures, each a byte of its own, the first the lowest: they are added up in pairs, in fours, in eights.
#[inline]
fn value(figures: u64) -> u64 {
    let pairs = figures.wrapping_mul(10).wrapping_add(figures >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// 10^0 to 10^8.
const POWERS: [u64; 9] = {
    let mut powers = [1; 9];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = 10 * powers[i - 1];
        i += 1;
    }
    powers
};

/// 5^-k as r · 2^-(63 + e), r a word with its top bit set and cut off, not rounded.
#[derive(Clone, Copy)]
struct Reciprocal {
    r: u64,
    e: u32,
}

/// Those of 5^0 to 5^27, the last power that fits a word.
const RECIPROCALS: [Reciprocal; 28] = {
    let mut reciprocals = [Reciprocal { r: 1 << 63, e: 0 }; 28];
    let (mut k, mut power) = (1, 1_u64);
    while k < reciprocals.len() {
        power *= 5;
        let e = u64::BITS - power.leading_zeros();
        reciprocals[k] = Reciprocal { r: ((1_u128 << (63 + e)) / power as u128) as u64, e };
        k += 1;
    }
    reciprocals
};

/// `number` · 10^-`decimals`, rounded to the nearest float; `None` where the first word of the product does not tell which that is.
#[inline]
fn shifted(number: u64, decimals: usize) -> Option<f64> {
    const CUT: u32 = 11;
    const HALF: u64 = 1 << (CUT - 1);
    if number == 0 {
        return Some(0.0);
    }
    let zeros = number.leading_zeros();
    let Reciprocal { r, e } = *RECIPROCALS.get(decimals)?;
    // The reciprocal lies in [r, r + 1), so the first word of the product in [high, high + 2), and moved up in [high, high + 4).
    let high = ((u128::from(number << zeros) * u128::from(r)) >> 64) as u64;
    let free = (!high >> 63) as u32;
    let high = high << free;
    let rest = high & (2 * HALF - 1);
    if (HALF - 3..=HALF).contains(&rest) {
        return None;
    }
    let mantissa = (high >> CUT) + u64::from(rest > HALF);
    // The number is high · 2^(64 - free) · 2^-(63 + e) · 2^-zeros · 2^-decimals; the first of the mantissa's 53 bits is not stored,
    // but counts as one of the exponent.
    let exponent = 1_086 - free - e - zeros - decimals as u32;
    Some(f64::from_bits((u64::from(exponent) << 52) + mantissa))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The number of a whole text, which must be read the quick way.
    fn quick(text: &str) -> f64 {
        let (value, length) = plain_decimal(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(length, text.len(), "{text}");
        value
    }

    #[test]
    fn plain_decimals_are_read_the_quick_way() {
        for (text, value) in [
            ("0", 0.0),
            ("0.0", 0.0),
            ("7", 7.0),
            ("7.", 7.0),
            ("0.5", 0.5),
            ("0012.50", 12.5),
            ("1700000000.0758004", 1_700_000_000.075_800_4),
            ("0.11956228372097183", 0.119_562_283_720_971_83),
            ("0.0284116268157959", 0.028_411_626_815_795_9),
            ("9999999999999999999", 1e19),
            ("0.9999999999999999999", 1.0),
            ("0.0000000000000000001", 1e-19),
            ("0.0001234567890123456789", 0.000_123_456_789_012_345_67),
        ] {
            assert_eq!(quick(text), value, "{text}");
        }
    }

    #[test]
    fn reciprocals_are_those_of_powers_of_five() {
        for (k, Reciprocal { r, e }) in RECIPROCALS.into_iter().enumerate() {
            let power = 5_u128.pow(k as u32);
            // r · 5^k ≤ 2^(63 + e) < (r + 1) · 5^k
            let (one, r) = (1_u128 << (63 + e), u128::from(r));
            assert!(r >> 63 == 1 && r * power <= one && one - r * power < power, "{k}");
        }
    }

    #[test]
    fn a_number_ends_where_its_figures_do() {
        for (text, expected) in [
            ("12.5,3", Some((12.5, 4))),
            ("12\n5", Some((12.0, 2))),
            ("1.5e3,", Some((1_500.0, 5))),
            ("0.123456789012345678901234567890,", Some((0.123_456_789_012_345_68, 32))),
            ("123456789012345678901234567890", Some((1.234_567_890_123_456_8e29, 30))),
            ("-2", Some((-2.0, 2))),
            ("", None),
            (",1", None),
            ("x", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn half_way_is_left_to_the_careful_way() {
        // 2^53 + 1 lies half way between two floats, of which the even one is taken.
        assert_eq!(plain_decimal(b"9007199254740993"), None);
        assert_eq!(decimal(b"9007199254740993"), Some((9_007_199_254_740_992.0, 16)));
        assert_eq!(decimal(b"900719925474099.3"), "900719925474099.3".parse().ok().map(|value| (value, 17)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_nearest_float_is_taken(number: u64, decimals in 0..RECIPROCALS.len()) {
            if let Some(value) = shifted(number, decimals) {
                prop_assert_eq!(value, format!("{number}e-{decimals}").parse::<f64>().unwrap());
            }
        }

        #[test]
        fn floats_are_read_as_they_were_written(value in 0.0..2e9_f64, share in 0.0..1.0_f64) {
            for value in [value, share, share * 1e-3] {
                let text = value.to_string();
                prop_assert_eq!(decimal(text.as_bytes()), Some((value, text.len())));
            }
        }

        #[test]
        fn texts_are_numbers_as_they_are_to_the_standard_library(text in "[0-9]{0,21}(\\.[0-9]{0,21})?") {
            let expected = text.parse::<f64>().ok();
            prop_assert_eq!(decimal(text.as_bytes()).filter(|(_, length)| *length == text.len()).map(|read| read.0), expected);
        }
    }
}
