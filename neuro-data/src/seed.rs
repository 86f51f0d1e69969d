//! Seeds of independent random streams.

use sha2::{Digest, Sha256};

/// The seed of the stream that `path` names under a master seed: the first eight bytes of SHA-256 over both.
///
/// Streams of different names are independent, and none moves when another is added. Names are length-prefixed, so that
/// `["ab", "c"]` and `["a", "bc"]` differ.
pub fn derive_seed(master: u64, path: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(master.to_le_bytes());
    for name in path {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
    }
    let digest = hash.finalize();
    digest[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// The first `2 * bytes` hexadecimal digits of the SHA-256 of `data`.
pub(crate) fn short_hash(data: &[u8], bytes: usize) -> String {
    Sha256::digest(data).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_part() {
        let seed = derive_seed(1, &["run", "a", "0"]);
        assert_eq!(seed, derive_seed(1, &["run", "a", "0"]));
        for other in [
            derive_seed(2, &["run", "a", "0"]),
            derive_seed(1, &["run", "a", "1"]),
            derive_seed(1, &["runa", "", "0"]),
            derive_seed(1, &["run", "a0"]),
        ] {
            assert_ne!(seed, other);
        }
    }

    #[test]
    fn short_hash_is_the_head_of_sha256() {
        // SHA-256 of the empty string starts e3b0c442.
        assert_eq!(short_hash(b"", 4), "e3b0c442");
    }
}
