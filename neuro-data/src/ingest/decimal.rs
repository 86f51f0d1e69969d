//! Decimal numbers at the start of a text, for columns of millions of them.
//!
//! Figures are read eight at a time, as bytes of one word, and a number is rounded by one product with the reciprocal of its power
//! of ten (the first step of Lemire's method). What that leaves open goes to `fast-float2`: exponents, signs, names of numbers, more
//! figures than a word holds, and the one number in five hundred that lies too near to half way between two floats. Where almost
//! all cells are plain decimals of 15 to 18 figures, this takes half of the time.
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
fn plain_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut number = 0;
    let whole = take_figures(text, &mut number);
    let (mut length, mut decimals) = (whole, 0);
    if text.get(whole) == Some(&b'.') {
        decimals = take_figures(text.get(whole + 1..)?, &mut number);
        length += 1 + decimals;
    }
    // A zero before the point does not fill the word.
    let known = if text.first() == Some(&b'0') { whole - 1 } else { whole } + decimals;
    if whole == 0 || known > MOST_FIGURES || matches!(text.get(length), Some(b'e' | b'E')) {
        return None;
    }
    Some((shifted(number, decimals)?, length))
}

/// Appends the figures that a text starts with to a number; returns how many. Beyond [`MOST_FIGURES`] the number wraps around.
#[inline]
fn take_figures(text: &[u8], number: &mut u64) -> usize {
    let mut taken = 0;
    loop {
        let rest = text.get(taken..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => {
                let mut bytes = [b' '; 8];
                bytes[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(bytes)
            }
        };
        // A figure's byte is now 0 to 9, and the top bit of the first byte that is none becomes set.
        let word = word ^ 0x3030_3030_3030_3030;
        let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
        let count = others.trailing_zeros() as usize / 8;
        let word = word.unbounded_shl(64 - 8 * count as u32);
        // Figures in pairs, in fours, in eights.
        let word = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00ff_00ff_00ff_00ff;
        let word = word.wrapping_mul(100).wrapping_add(word >> 16) & 0x0000_ffff_0000_ffff;
        let word = word.wrapping_mul(10_000).wrapping_add(word >> 32) & 0xffff_ffff;
        *number = number.wrapping_mul(POWERS[count]).wrapping_add(word);
        taken += count;
        if count < 8 {
            return taken;
        }
    }
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

/// Those of 5^0 to 5^19.
const RECIPROCALS: [Reciprocal; MOST_FIGURES + 1] = {
    let mut reciprocals = [Reciprocal { r: 1 << 63, e: 0 }; MOST_FIGURES + 1];
    let (mut k, mut power) = (1, 1_u64);
    while k < reciprocals.len() {
        power *= 5;
        let e = u64::BITS - power.leading_zeros();
        reciprocals[k] = Reciprocal { r: ((1_u128 << (63 + e)) / power as u128) as u64, e };
        k += 1;
    }
    reciprocals
};

/// `number` · 10^-`decimals`, rounded to the nearest float; `None` where 64 bits of the product do not tell which that is.
fn shifted(number: u64, decimals: usize) -> Option<f64> {
    if number == 0 {
        return Some(0.0);
    }
    let zeros = number.leading_zeros();
    let Reciprocal { r, e } = *RECIPROCALS.get(decimals)?;
    // The product with r in place of the reciprocal, which is less than r + 1: the true one lies in [high, high + 2).
    let high = ((u128::from(number << zeros) * u128::from(r)) >> 64) as u64;
    let top = (high >> 63) as u32;
    let cut = 10 + top;
    let (mantissa, rest, half) = (high >> cut, high & ((1 << cut) - 1), 1 << (cut - 1));
    if rest == half || rest == half - 1 {
        return None;
    }
    let mantissa = mantissa + u64::from(rest > half);
    // high · 2^64 · 2^-(63 + e) · 2^-zeros · 2^-decimals; of the mantissa's 53 bits the first is not stored, but counted in here.
    let exponent = 1_085 + top - e - zeros - decimals as u32;
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
        ] {
            assert_eq!(quick(text), value, "{text}");
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
        fn the_nearest_float_is_taken(number: u64, decimals in 0..=MOST_FIGURES) {
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
