//! Floats byte by byte: the first bytes of all, then the second ones, and so on (Parquet's `BYTE_STREAM_SPLIT`).

use wide::u8x16;

/// Floats that are taken apart at once.
const BLOCK: usize = 16;
const BYTES: usize = size_of::<f64>();

/// Appends the floats' bytes to others, the lowest ones of all first.
pub(super) fn append(bytes: &mut Vec<u8>, floats: &[f64]) {
    let start = bytes.len();
    bytes.resize(start + BYTES * floats.len(), 0);
    let streams = &mut bytes[start..];
    let (blocks, rest) = floats.as_chunks::<BLOCK>();
    for (i, block) in blocks.iter().enumerate() {
        for (j, stream) in streams.chunks_exact_mut(floats.len()).zip(split(block)) {
            j[BLOCK * i..][..BLOCK].copy_from_slice(stream.as_array());
        }
    }
    for (i, float) in rest.iter().enumerate() {
        for (stream, byte) in streams.chunks_exact_mut(floats.len()).zip(float.to_le_bytes()) {
            stream[BLOCK * blocks.len() + i] = byte;
        }
    }
}

/// The eight streams of sixteen floats.
///
/// Byte j of float i lies at place 8 i + j of 128 and is wanted at 16 j + i: the seven bits of its place are to be turned by four. To
/// shuffle the first half of the bytes into the second, one by one, turns them by one.
#[inline]
fn split(block: &[f64; BLOCK]) -> [u8x16; BYTES] {
    let mut bytes: [u8x16; BYTES] = std::array::from_fn(|k| {
        let pair = u128::from(block[2 * k].to_bits()) | u128::from(block[2 * k + 1].to_bits()) << 64;
        u8x16::new(pair.to_le_bytes())
    });
    for _ in 0..4 {
        bytes = std::array::from_fn(|k| {
            let (first, second) = (bytes[k / 2], bytes[k / 2 + BYTES / 2]);
            if k % 2 == 0 { u8x16::unpack_low(first, second) } else { u8x16::unpack_high(first, second) }
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_holds_one_byte_of_every_float() {
        for count in [0, 1, 15, 16, 17, 100] {
            let floats: Vec<f64> = (0..count).map(|i| f64::from(i).exp().sin()).collect();
            let mut bytes = vec![7];
            append(&mut bytes, &floats);
            let expected = (0..BYTES).flat_map(|j| floats.iter().map(move |float| float.to_le_bytes()[j]));
            assert!(bytes.into_iter().eq([7].into_iter().chain(expected)), "{count}");
        }
    }
}
