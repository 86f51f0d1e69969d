//! Cells of figures, for columns of millions of them.
//!
//! Where the cells of a line end is known before one of them is read: 16 bytes are compared at once, and what is no figure becomes a
//! bit. So no number waits for the one before it. Figures are read eight at a time, as bytes of one word, and a number is rounded by one
//! product with the reciprocal of its power of ten (the first step of Lemire's method). What that leaves open is left to the caller: more
//! figures than a word holds, and the one number in five hundred that lies too near to half way between two floats.
//!
//! # References
//! - D. Lemire, "Number parsing at a gigabyte per second", *Software: Practice and Experience* 51(8), 2021,
//!   doi:10.1002/spe.2984.
//! - G. Langdale, D. Lemire, "Parsing gigabytes of JSON per second", *The VLDB Journal* 28(6), 2019,
//!   doi:10.1007/s00778-019-00578-5 (bytes as bits).

use wide::u8x16;

/// Bytes at the start of a window of which is known which are figures: most of a line.
const MARKED: usize = 128;
/// Figures that may be read of a number.
const LONGEST: usize = 24;
/// What is looked at of a text: figures are read beyond the end of a number.
pub(super) type Window = [u8; MARKED + LONGEST + 8];

/// The places of the bytes of a window that are no figures, in order; those beyond [`MARKED`] are not among them.
pub(super) struct Others {
    /// A bit for each of the bytes from `start` on, and of those behind these.
    bits: u64,
    later: u64,
    start: usize,
}

impl Others {
    #[inline(always)]
    pub(super) fn of(window: &Window) -> Self {
        let (blocks, _) = window.as_chunks::<16>();
        let bits = |blocks: &[[u8; 16]]| {
            blocks.iter().rev().fold(0, |bits, block| {
                // A figure's byte becomes 0 to 9, and the top bit of any other one set.
                let others = (u8x16::new(*block) - u8x16::splat(b'0')).saturating_add(u8x16::splat(0x80 - 10));
                bits << 16 | u64::from(others.to_bitmask())
            })
        };
        Self { bits: bits(&blocks[..4]), later: bits(&blocks[4..8]), start: 0 }
    }
}

impl Iterator for Others {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            (self.bits, self.later, self.start) = (self.later, 0, MARKED / 2);
            if self.bits == 0 {
                return None;
            }
        }
        let place = self.start + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(place)
    }
}

/// The number from `start` to `end` of a window, rounded to the nearest float. All of it is figures, but for a point at `point`, which is
/// `end` where there is none. `None` where the careful way is wanted.
#[inline(always)]
pub(super) fn decimal(window: &Window, start: usize, point: usize, end: usize) -> Option<f64> {
    let whole = point - start;
    let decimals = end.saturating_sub(point + 1);
    let mut number = match whole {
        0 => return None,
        1 => u64::from(*window.get(start)? - b'0'),
        _ => append(0, window, start, whole)?,
    };
    let zero_in_front = usize::from(whole == 1 && number == 0);
    if whole + decimals > MOST_FIGURES + zero_in_front {
        return None;
    }
    if decimals > 0 {
        number = append(number, window, point + 1, decimals)?;
    }
    shifted(number, decimals)
}

/// Most figures that always fit a word.
const MOST_FIGURES: usize = 19;

/// A number with `count` figures appended, of which there are at most [`LONGEST`]. What does not fit a word wraps around.
#[inline(always)]
fn append(number: u64, window: &Window, at: usize, count: usize) -> Option<u64> {
    let figures: &[u8; LONGEST] = window.get(at..)?.first_chunk()?;
    let (words, _) = figures.as_chunks();
    if count <= 8 {
        return append_of_word(number, words[0], count);
    }
    let number = append_of_word(number, words[0], 8)?;
    if count <= 13 {
        return append_of_word(number, words[1], count - 8);
    }
    // One word more or two, as 16 figures are about as many as 17: nobody could guess.
    let second = (count - 8).min(8);
    append_of_word(append_of_word(number, words[1], second)?, words[2], count - 8 - second)
}

/// A number with the first `count` figures of eight bytes appended.
#[inline(always)]
fn append_of_word(number: u64, bytes: [u8; 8], count: usize) -> Option<u64> {
    let power = POWERS.get(count)?;
    // A figure's byte becomes 0 to 9; those that are not wanted are pushed out, in two steps as it may be all of them.
    let word = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
    let half = 32 - 4 * count;
    Some(number.wrapping_mul(*power).wrapping_add(value(word << half << half)))
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
#[inline(always)]
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

    /// The start of a window, which goes on with figures.
    fn window(text: &str) -> Window {
        let mut window = [b'7'; size_of::<Window>()];
        window[..text.len()].copy_from_slice(text.as_bytes());
        window
    }

    /// The number of a text of figures with at most one point.
    fn read(text: &str) -> Option<f64> {
        decimal(&window(text), 0, text.find('.').unwrap_or(text.len()), text.len())
    }

    #[test]
    fn what_is_no_figure_is_found() {
        let text: Vec<u8> = (0..=u8::MAX).collect();
        for half in text.chunks(MARKED) {
            let mut window = window("");
            window[..MARKED].copy_from_slice(half);
            let others = half.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_digit()).map(|(place, _)| place);
            assert!(Others::of(&window).eq(others));
        }
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
            assert_eq!(read(text), Some(value), "{text}");
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
    fn what_is_open_is_left_to_the_careful_way() {
        // 2^53 + 1 lies half way between two floats.
        for text in [
            "",
            ".5",
            "9007199254740993",
            "10000000000000000000",
            "18446744073709551616",
            "0.12345678901234567890",
            "1.0000000000000000000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
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
        fn texts_are_numbers_as_they_are_to_the_standard_library(text in "[0-9]{1,30}(\\.[0-9]{0,30})?") {
            if let Some(value) = read(&text) {
                prop_assert_eq!(Ok(value), text.parse());
            }
        }
    }
}
