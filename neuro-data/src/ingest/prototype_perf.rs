//! The prototype's `<pid>.raw`: the text of `perf stat -I 1000 -p PID --no-big-num`.
//!
//! A line is `time count [unit] event [# derived value] [(share %)]`; lines that start with `#` and blank lines are comments.
//! Decimal marks may be points or commas. `<not counted>` and `<not supported>` are readings without a count. The count taken
//! is the one perf counted, never the derived value behind the `#`; `cpu-clock` is in nanoseconds whatever its unit.
//!
//! Where events took turns on the hardware, perf prints the share of time each was counted, and a count that it has already
//! scaled up to the whole time. That is the count here; the time on the hardware itself is not in the text.
//!
//! # References
//! - `perf-stat(1)`, section "Interval mode", Linux kernel documentation, `tools/perf/Documentation/perf-stat.txt`.

use std::io::Read;
use std::path::Path;

use super::lines::{Line, Lines};
use super::problem::{Problem, Problems};
use crate::{Error, Result};

/// One reading: what perf counted in the interval that ends at `time_s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerfReading<'a> {
    /// End of the interval, seconds since perf started.
    pub time_s: f64,
    /// The event, without modifiers such as `:u`.
    pub event: &'a str,
    /// What was counted, scaled to the whole interval, ns for clocks; `None` where it was not counted or is not supported.
    pub count: Option<u64>,
    /// Share of the interval that it was on the hardware, 0 to 1; `None` where perf does not tell, which means all of it.
    pub share: Option<f64>,
}

/// Reads a file, handing each reading to `take`; lines that are none become problems under the name `path`. Returns the number
/// of readings.
///
/// # Errors
/// The file cannot be read, or it has a problem and problems are not tolerated.
///
/// # Example
/// ```
/// use neuro_data::ingest::{Problems, prototype_perf};
///
/// let text = "# started on Mon\n     1,001 503,25 msec cpu-clock # 0,503 CPUs utilized\n 1,001 812 cache-misses (49,80%)\n";
/// let (mut problems, mut counts) = (Problems::new(true), Vec::new());
/// prototype_perf::read(text.as_bytes(), "1.raw".as_ref(), &mut problems, |r| counts.push((r.count, r.share)))?;
/// assert_eq!(counts, [(Some(503_250_000), None), (Some(812), Some(0.498))]);
/// # Ok::<(), neuro_data::Error>(())
/// ```
pub fn read(
    file: impl Read,
    path: &Path,
    problems: &mut Problems,
    mut take: impl FnMut(PerfReading<'_>),
) -> Result<u64> {
    let mut lines = Lines::new(file);
    let (mut any, mut taken) = (false, 0);
    let mut events: Vec<String> = Vec::new();
    while let Some(line) = lines.next().map_err(Error::io("read", path))? {
        any = true;
        match reading(line).and_then(|reading| known_event(reading, &mut events)) {
            Ok(Some(reading)) => {
                take(reading);
                taken += 1;
            }
            Ok(None) => {}
            Err((column, reason)) => {
                let end = if line.ended { "" } else { "; the file ends within it" };
                let reason = format!("{reason}; the line is left out{end}");
                problems.add(Problem::at(path, line.number, column as u64 + 1, reason))?;
            }
        }
    }
    if !any {
        problems.add(Problem::of_file(path, "the file is empty; the replica has no counters"))?;
    }
    Ok(taken)
}

/// Most different events of a file: perf was asked for four.
const MOST_EVENTS: usize = 64;

/// Refuses a reading of one event too many, which only a damaged file has.
fn known_event<'a>(
    reading: Option<PerfReading<'a>>,
    events: &mut Vec<String>,
) -> std::result::Result<Option<PerfReading<'a>>, (usize, String)> {
    let new = reading.map(|reading| reading.event).filter(|event| !events.iter().any(|known| known == event));
    if let Some(event) = new {
        if events.len() == MOST_EVENTS {
            return Err((0, format!("it is of more than {MOST_EVENTS} events")));
        }
        events.push(event.to_owned());
    }
    Ok(reading)
}

/// The reading of a line, `None` of a comment; else where in the line what is wrong.
fn reading(line: Line<'_>) -> std::result::Result<Option<PerfReading<'_>>, (usize, String)> {
    if line.too_long {
        return Err((0, "it is longer than 64 KiB".to_owned()));
    }
    let text = std::str::from_utf8(line.text).map_err(|e| (e.valid_up_to(), "it is not UTF-8".to_owned()))?;
    let mut words = Words { text, at: 0 };
    let Some((_, first)) = words.next().filter(|(_, word)| !word.starts_with('#')) else { return Ok(None) };
    if !line.ended {
        return Err((text.len(), "it may be cut off".to_owned()));
    }
    let time_s = decimal(first).map_err(|reason| (0, format!("the time is {first:?}, {reason}")))?;

    let (at, word) = words.next().ok_or((text.len(), "there is no count".to_owned()))?;
    let counted = if word == "<not" {
        match words.next() {
            Some((_, "counted>" | "supported>")) => None,
            _ => return Err((at, "the count is neither a number nor <not counted> nor <not supported>".to_owned())),
        }
    } else {
        Some(decimal(word).map_err(|reason| (at, format!("the count is {word:?}, {reason}")))?)
    };

    let names_something = |word: &str| !word.starts_with(['#', '(']);
    let (at, first) =
        words.next().filter(|(_, word)| names_something(word)).ok_or((text.len(), "there is no event".to_owned()))?;
    let mut rest = words.clone();
    let (unit, event) = match rest.next() {
        Some((_, second)) if names_something(second) => {
            words = rest;
            (first, second)
        }
        _ => ("", first),
    };
    let scale = scale(unit).ok_or((at, format!("the unit {unit:?} is not known")))?;
    let share = share(words).map_err(|(at, word)| (at, format!("the share is {word:?}, not a percentage")))?;
    // Counted for no time at all is not counted.
    let counted = counted.filter(|_| share != Some(0.0));
    let event = event.split(':').next().unwrap_or(event);
    if event.is_empty() {
        return Err((at, "there is no event".to_owned()));
    }
    Ok(Some(PerfReading { time_s, event, count: counted.map(|count| (count * scale).round() as u64), share }))
}

/// Nanoseconds in a unit of time, and 1 where there is none.
fn scale(unit: &str) -> Option<f64> {
    match unit {
        "" | "nsec" | "ns" => Some(1.0),
        "usec" | "us" => Some(1e3),
        "msec" | "ms" => Some(1e6),
        "sec" | "s" => Some(1e9),
        _ => None,
    }
}

/// The share in brackets at the end of a line, where there is one.
fn share(words: Words<'_>) -> std::result::Result<Option<f64>, (usize, &str)> {
    let Some((at, word)) = words.last().filter(|(_, word)| word.ends_with("%)")) else { return Ok(None) };
    let percent = word.trim_start_matches('(').trim_end_matches("%)");
    match decimal(percent) {
        Ok(percent) if percent <= 100.0 => Ok(Some(percent / 100.0)),
        _ => Err((at, word)),
    }
}

/// A finite number that is not negative, with a point or a comma as its decimal mark.
fn decimal(word: &str) -> std::result::Result<f64, &'static str> {
    let parsed = if word.contains(',') {
        fast_float2::parse::<f64, _>(word.replacen(',', ".", 1))
    } else {
        fast_float2::parse::<f64, _>(word)
    };
    match parsed {
        Ok(value) if !value.is_finite() => Err("not a finite number"),
        Ok(value) if value < 0.0 => Err("a negative number"),
        Ok(value) => Ok(value),
        Err(_) => Err("not a number"),
    }
}

/// Words between blanks, with their places.
#[derive(Clone)]
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.len() - rest.trim_ascii_start().len();
        let word =
            self.text[start..].split(|c: char| c.is_ascii_whitespace()).next().filter(|word| !word.is_empty())?;
        self.at = start + word.len();
        Some((start, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Reading = (f64, String, Option<u64>, Option<f64>);

    fn read_text(text: &str) -> (Vec<Reading>, Vec<String>) {
        let (mut problems, mut readings) = (Problems::new(false), Vec::new());
        read(text.as_bytes(), Path::new("1.raw"), &mut problems, |r| {
            readings.push((r.time_s, r.event.to_owned(), r.count, r.share));
        })
        .unwrap();
        (readings, problems.kept().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_of_line_is_read() {
        let reading = |time_s, event: &str, count, share| (time_s, event.to_owned(), count, share);
        for (line, expected) in [
            (
                "     1.001080215            501.33 msec cpu-clock                 #    0.501 CPUs utilized",
                reading(1.001_080_215, "cpu-clock", Some(501_330_000), None),
            ),
            (
                "     1,001080215            501,33 msec cpu-clock                 #    0,501 CPUs utilized",
                reading(1.001_080_215, "cpu-clock", Some(501_330_000), None),
            ),
            ("1.0 501330000 cpu-clock:u", reading(1.0, "cpu-clock", Some(501_330_000), None)),
            (
                "2.0 1234567 cache-references # 12.3 M/sec (75.00%)",
                reading(2.0, "cache-references", Some(1_234_567), Some(0.75)),
            ),
            (
                "2.0 1234567 cache-misses # 8,9 % of all cache refs (75,00%)",
                reading(2.0, "cache-misses", Some(1_234_567), Some(0.75)),
            ),
            ("2.0 77 page-faults # 1.2 K/sec", reading(2.0, "page-faults", Some(77), None)),
            ("3.0 <not counted> cache-misses (0.00%)", reading(3.0, "cache-misses", None, Some(0.0))),
            ("3.0 <not supported> cache-misses", reading(3.0, "cache-misses", None, None)),
            ("3.0 <not counted> msec cpu-clock", reading(3.0, "cpu-clock", None, None)),
            ("3.0 0 cache-misses (0.00%)", reading(3.0, "cache-misses", None, Some(0.0))),
            ("4.0 0 page-faults\r", reading(4.0, "page-faults", Some(0), None)),
        ] {
            let (readings, problems) =
                read_text(&format!("# started on Mon Nov 23\n\n#  time  counts unit events\n{line}\n"));
            assert_eq!((readings, problems), (vec![expected], vec![]), "{line}");
        }
    }

    #[test]
    fn a_bad_line_is_reported_with_its_place_beside_the_good_ones() {
        for (line, place, word) in [
            ("soon 5 page-faults", "2:1", "the time"),
            ("-1.0 5 page-faults", "2:1", "negative"),
            ("nan 5 page-faults", "2:1", "finite"),
            ("1.0", "2:4", "no count"),
            ("1.0 many page-faults", "2:5", "the count"),
            ("1.0 1,234,567 page-faults", "2:5", "the count"),
            ("1.0 <not there> page-faults", "2:5", "neither"),
            ("1.0 5", "2:6", "no event"),
            ("1.0 5 # 3", "2:10", "no event"),
            ("1.0 5 Joules power/energy-pkg/", "2:7", "unit"),
            ("1.0 5 page-faults (200.00%)", "2:19", "percentage"),
        ] {
            let (readings, problems) = read_text(&format!("1.0 1 page-faults\n{line}\n2.0 2 page-faults\n"));
            assert_eq!(readings.len(), 2, "{line}");
            assert_eq!(problems.len(), 1, "{line}: {problems:?}");
            assert!(
                problems[0].starts_with(&format!("1.raw:{place}: ")) && problems[0].contains(word),
                "{}",
                problems[0]
            );
        }
    }

    #[test]
    fn an_empty_and_a_truncated_file_are_reported() {
        assert!(read_text("").1[0].contains("empty"));
        let (readings, problems) = read_text("1.0 1 page-faults\n2.0 2 page-fau");
        assert_eq!(readings.len(), 1);
        assert!(problems[0].starts_with("1.raw:2:15: ") && problems[0].contains("ends within it"), "{problems:?}");
    }

    proptest! {
        #[test]
        fn what_perf_prints_is_read(
            time_ms in 0..10_000_000_u32, count in 0..u64::from(u32::MAX), comma: bool, hundredths in prop::option::of(1..=10_000_u32),
        ) {
            let share = hundredths.map_or(String::new(), |h| format!("  ({:.2}%)", f64::from(h) / 100.0));
            let mut text = format!("{:15.9} {count:18}      cache-misses  #  1.5 M/sec{share}\n", f64::from(time_ms) / 1e3);
            if comma {
                text = text.replace('.', ",");
            }
            let (readings, problems) = read_text(&text);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            let (time_s, event, read, share) = &readings[0];
            prop_assert_eq!((*time_s, event.as_str(), *read), (f64::from(time_ms) / 1e3, "cache-misses", Some(count)));
            prop_assert_eq!(share.map(|s| (s * 1e4).round() as u32), hundredths);
        }

        #[test]
        fn no_text_is_too_strange(text in "[0-9,.<>()#% \na-d\t\u{e9}-]{0,300}") {
            read_text(&text);
        }
    }
}
