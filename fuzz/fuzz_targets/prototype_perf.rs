//! Any bytes as the text of `perf stat -I`: no crash, and every reading is a sane one.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use neuro_data::ingest::{Problems, prototype_perf};

fuzz_target!(|text: &[u8]| {
    let path = Path::new("1.raw");
    let mut problems = Problems::new(false);
    let mut taken = 0;
    let readings = prototype_perf::read(text, path, &mut problems, |reading| {
        assert!(reading.time_s.is_finite() && reading.time_s >= 0.0 && !reading.event.is_empty());
        assert!(reading.share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        taken += 1;
    });
    assert_eq!(readings.unwrap_or_default(), taken);
    let lines = text.split(|byte| *byte == b'\n').count() as u64;
    assert!(taken + problems.total() <= lines);
    assert_eq!(prototype_perf::read(text, path, &mut Problems::new(true), |_| ()).is_err(), problems.total() > 0);
});
