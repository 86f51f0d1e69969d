//! Any bytes as `tenant-<id>.csv`: no crash, and every good line has good numbers.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use neuro_data::ingest::{Problems, prototype_csv};

const HEADER: &[u8] =
    b",service_times,arrival_times,departure_times,interarrival_times,queueing_times,queue_lens\n";

fn check(text: &[u8]) {
    let path = Path::new("tenant-0.csv");
    let lines = text.split(|byte| *byte == b'\n').count() as u64;
    let mut problems = Problems::new(false);
    let (mut taken, mut last) = (0, None);
    let rows = prototype_csv::read(text, path, &mut problems, |request| {
        let times = [request.service_s, request.arrival_s, request.departure_s, request.queueing_s];
        assert!(times.into_iter().flatten().all(|time| time.is_finite() && time >= 0.0));
        assert!(last < Some(request.seq), "requests come in order");
        (taken, last) = (taken + 1, Some(request.seq));
    });
    assert_eq!(rows.unwrap_or_default().unwrap_or(0), taken);
    assert!(taken + problems.total() <= lines);
    assert_eq!(prototype_csv::read(text, path, &mut Problems::new(true), |_| ()).is_err(), problems.total() > 0);
}

fuzz_target!(|text: &[u8]| {
    check(text);
    check(&[HEADER, text].concat());
});
