//! The prototype's `tenant-<id>.csv`: one line a request, columns of unequal length padded with blanks.
//!
//! The header names the columns, in any order; an unnamed one is the index and unknown ones are passed over, as is
//! `interarrival_times`, which says nothing that the arrivals do not. A cell is a decimal number, zero or more, or blank: not known.
//! A line that holds anything else, or fewer or more cells than the header, is reported and left out. Lines of blanks only are
//! padding.

use std::io::Read;
use std::path::Path;

use memchr::memchr_iter;

use super::decimal::{Others, Window, decimal};
use super::lines::{Line, Lines};
use super::problem::{Problem, Problems};
use crate::{Error, Result};

/// Columns of the file that are read.
const COLUMNS: [&str; 5] = ["service_times", "arrival_times", "departure_times", "queueing_times", "queue_lens"];

/// One line of the file. What is blank is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PrototypeRequest {
    /// Number of the line among those of requests, from 0, whether or not earlier ones could be used.
    pub seq: u64,
    /// Time of the inference, seconds.
    pub service_s: Option<f64>,
    /// When it arrived at its replica, seconds on the replica's clock.
    pub arrival_s: Option<f64>,
    /// When its inference ended, seconds on the same clock.
    pub departure_s: Option<f64>,
    /// Time from its arrival to the start of its inference, seconds.
    pub queueing_s: Option<f64>,
    /// Requests waiting or in service on its arrival.
    pub queue_len: Option<u32>,
}

/// Reads a file, handing each good line to `take`; the others become problems under the name `path`. Returns the number of
/// requests, `None` where the file says nothing of its tenant: it is empty or has no service times.
///
/// # Errors
/// The file cannot be read, or it has a problem and problems are not tolerated.
///
/// # Example
/// ```
/// use neuro_data::ingest::{Problems, prototype_csv};
///
/// let text = ",service_times,arrival_times\n0,0.25,10.5\n1,fast,11.0\n2,,12.0\n";
/// let (mut problems, mut requests) = (Problems::new(false), Vec::new());
/// prototype_csv::read(text.as_bytes(), "tenant-0.csv".as_ref(), &mut problems, |request| requests.push(request))?;
/// assert_eq!(requests.len(), 2);
/// assert_eq!((requests[1].seq, requests[1].service_s, requests[1].arrival_s), (2, None, Some(12.0)));
/// assert_eq!(
///     problems.kept()[0].to_string(),
///     "tenant-0.csv:3:3: service_times is \"fast\", not a number; the line is left out"
/// );
/// # Ok::<(), neuro_data::Error>(())
/// ```
pub fn read(
    file: impl Read,
    path: &Path,
    problems: &mut Problems,
    mut take: impl FnMut(PrototypeRequest),
) -> Result<Option<u64>> {
    let mut lines = Lines::new(file);
    let Some(header) = lines.next().map_err(Error::io("read", path))? else {
        problems.add(Problem::of_file(path, "the file is empty; the tenant is not measured"))?;
        return Ok(None);
    };
    let layout = match Layout::of(header) {
        Ok(layout) => layout,
        Err(reason) => {
            problems.add(Problem::at(path, 1, 1, reason))?;
            return Ok(None);
        }
    };
    let (mut seq, mut taken) = (0, 0);
    loop {
        let plain = lines.coming().first_chunk().and_then(|window| layout.plain_values(window));
        let values = if let Some((values, length)) = plain {
            lines.pass(length);
            values
        } else {
            let Some(line) = lines.next().map_err(Error::io("read", path))? else { break };
            if line.text.is_empty() {
                continue;
            }
            layout.values(line).or_else(|(column, reason)| {
                let end = if line.ended { "" } else { "; the file ends within it" };
                let reason = format!("{reason}; the line is left out{end}");
                problems.add(Problem::at(path, line.number, column as u64 + 1, reason)).map(|()| BLANKS)
            })?
        };
        if let Some(request) = request(seq, &values) {
            take(request);
            taken += 1;
        }
        seq += 1;
    }
    Ok(Some(taken))
}

/// What each cell of a line is: the number of its column in [`COLUMNS`], or one beyond for what is only checked or passed over.
struct Layout {
    cells: Vec<usize>,
}

/// The values of a line, by [`COLUMNS`] and two more. NaN, which no cell can be, stands for a blank.
type Values = [f64; UNKNOWN + 1];

/// The values of a line of blanks.
const BLANKS: Values = [f64::NAN; UNKNOWN + 1];

const INDEX: usize = COLUMNS.len();
const UNKNOWN: usize = COLUMNS.len() + 1;

impl Layout {
    fn of(header: Line<'_>) -> std::result::Result<Self, String> {
        let text = header.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header.text);
        let column = |name: &[u8]| match name.trim_ascii() {
            b"" => INDEX,
            name => COLUMNS.iter().position(|known| known.as_bytes() == name).unwrap_or(UNKNOWN),
        };
        let cells: Vec<usize> = text.split(|byte| *byte == b',').map(column).collect();
        if header.too_long || !cells.contains(&0) {
            return Err("the header names no column service_times; the tenant is not measured".to_owned());
        }
        if (0..COLUMNS.len()).any(|column| cells.iter().filter(|cell| **cell == column).count() > 1) {
            return Err("the header names a column twice; the tenant is not measured".to_owned());
        }
        Ok(Self { cells })
    }

    /// The values of a line that is as almost all are, and its length with its end; `None` of any other line, or one that is not all
    /// in the window.
    #[inline]
    fn plain_values(&self, window: &Window) -> Option<(Values, usize)> {
        let mut values = BLANKS;
        let mut others = Others::of(window);
        let (mut start, mut last) = (0, b',');
        for &column in &self.cells {
            if last != b',' {
                return None;
            }
            let first = others.next()?;
            let is_number = column < INDEX;
            let mut end = if is_number && window[first] == b'.' { others.next()? } else { first };
            last = window[end];
            let quick =
                if is_number && matches!(last, b',' | b'\n') { decimal(window, start, first, end) } else { None };
            if let Some(value) = quick {
                values[column] = value;
            } else {
                while !matches!(last, b',' | b'\n') {
                    end = others.next()?;
                    last = window[end];
                }
                if column != UNKNOWN && (is_number || end > first) {
                    values[column] = number(&window[start..end]).ok()?;
                }
            }
            start = end + 1;
        }
        // A line of more than one cell has a comma at least.
        let is_blank = || self.cells.len() == 1 && window[..start].trim_ascii().is_empty();
        (last == b'\n' && !is_blank()).then_some((values, start))
    }

    /// The values of any line; else where in the line what is wrong.
    fn values(&self, line: Line<'_>) -> std::result::Result<Values, (usize, String)> {
        if line.too_long {
            return Err((0, "it is longer than 64 KiB".to_owned()));
        }
        let mut values = [f64::NAN; UNKNOWN + 1];
        let (mut start, mut count) = (0, 0);
        for end in memchr_iter(b',', line.text).chain([line.text.len()]) {
            let Some(&column) = self.cells.get(count) else {
                return Err((start, format!("there are more than the header's {} cells", self.cells.len())));
            };
            let cell = &line.text[start..end];
            if column != UNKNOWN {
                values[column] = number(cell).map_err(|reason| {
                    let name = COLUMNS.get(column).copied().unwrap_or("the index");
                    (start, format!("{name} is {:?}, {reason}", String::from_utf8_lossy(shortened(cell))))
                })?;
            }
            count += 1;
            start = end + 1;
        }
        if count < self.cells.len() {
            return Err((line.text.len(), format!("there are {count} of the header's {} cells", self.cells.len())));
        }
        if !line.ended && line.text.last() != Some(&b',') && self.last_may_be_cut() {
            return Err((line.text.len(), "its last number may be cut off".to_owned()));
        }
        Ok(values)
    }

    /// Whether the last cell of a line is one that is read: in a file that ends without a line feed nobody knows if its
    /// figures are all there.
    fn last_may_be_cut(&self) -> bool {
        self.cells.last().is_some_and(|column| *column < INDEX)
    }
}

/// The request of a line, `None` of padding.
#[inline]
fn request(seq: u64, values: &Values) -> Option<PrototypeRequest> {
    let known = |column: usize| (!values[column].is_nan()).then_some(values[column]);
    let request = PrototypeRequest {
        seq,
        service_s: known(0),
        arrival_s: known(1),
        departure_s: known(2),
        queueing_s: known(3),
        queue_len: known(4).map(|length| length.min(f64::from(u32::MAX)) as u32),
    };
    (!values[..INDEX].iter().all(|value| value.is_nan())).then_some(request)
}

/// A cell's number, NaN where it is blank.
fn number(cell: &[u8]) -> std::result::Result<f64, &'static str> {
    let cell = cell.trim_ascii();
    if cell.is_empty() {
        return Ok(f64::NAN);
    }
    match fast_float2::parse::<f64, _>(cell) {
        Ok(value) if !value.is_finite() => Err("not a finite number"),
        Ok(value) if value < 0.0 => Err("a negative number"),
        Ok(value) => Ok(value),
        Err(_) => Err("not a number"),
    }
}

/// What of a cell is quoted in a problem.
fn shortened(cell: &[u8]) -> &[u8] {
    &cell[..cell.len().min(40)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = ",service_times,arrival_times,departure_times,interarrival_times,queueing_times,queue_lens\n";

    fn read_text(text: &str) -> (Vec<PrototypeRequest>, Vec<String>) {
        let (mut problems, mut requests) = (Problems::new(false), Vec::new());
        read(text.as_bytes(), Path::new("t.csv"), &mut problems, |request| requests.push(request)).unwrap();
        (requests, problems.kept().iter().map(ToString::to_string).collect())
    }

    fn only_problem(text: &str) -> String {
        let (_, problems) = read_text(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn a_line_is_a_request_and_a_blank_is_unknown() {
        let text = format!("{HEADER}0,0.5,100.25,101.0,,0.25,3.0\n1,,102.5,,,2.25,\n,,,,,,\n");
        let (requests, problems) = read_text(&text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(requests.len(), 2, "a line of blanks is padding");
        let first = PrototypeRequest {
            seq: 0,
            service_s: Some(0.5),
            arrival_s: Some(100.25),
            departure_s: Some(101.0),
            queueing_s: Some(0.25),
            queue_len: Some(3),
        };
        assert_eq!(requests[0], first);
        let second = PrototypeRequest { seq: 1, arrival_s: Some(102.5), queueing_s: Some(2.25), ..Default::default() };
        assert_eq!(requests[1], second);
    }

    #[test]
    fn columns_are_found_by_name_and_unknown_ones_passed_over() {
        let (requests, problems) = read_text("\u{feff}queue_lens, note ,service_times\r\n4,-oh,0.125\r\n");
        assert_eq!((requests[0].queue_len, requests[0].service_s), (Some(4), Some(0.125)));
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn a_bad_line_is_reported_with_its_place_beside_the_good_ones() {
        for (line, place, word) in [
            ("1,nan,1,1,1,1,1", "3:3", "finite"),
            ("1,inf,1,1,1,1,1", "3:3", "finite"),
            ("1,1,-2.5,1,1,1,1", "3:5", "negative"),
            ("1,1,1,1,1,\"0.5\",1", "3:11", "not a number"),
            ("x,1,1,1,1,1,1", "3:1", "the index"),
            ("1,1,1", "3:6", "3 of the header's 7"),
            ("1,1,1,1,1,1,1,1", "3:15", "more than the header's 7"),
        ] {
            let text = format!("{HEADER}0,1,1,1,1,1,1\n{line}\n2,1,1,1,1,1,1\n");
            let (requests, _) = read_text(&text);
            assert_eq!(requests.iter().map(|r| r.seq).collect::<Vec<_>>(), [0, 2], "{line}");
            let problem = only_problem(&text);
            assert!(problem.starts_with(&format!("t.csv:{place}: ")) && problem.contains(word), "{line}: {problem}");
        }
    }

    #[test]
    fn a_file_without_requests_says_why() {
        assert!(only_problem("").contains("empty"));
        assert!(only_problem(",arrival_times\n0,1\n").contains("service_times"));
        assert!(only_problem("service_times,service_times\n1,1\n").contains("twice"));
        assert_eq!(
            read_text(HEADER),
            (vec![], vec![]),
            "a header alone is a starved tenant, which is no fault of the file"
        );
    }

    #[test]
    fn the_cut_line_of_a_truncated_file_is_left_out() {
        let text = format!("{HEADER}0,1,1,1,1,1,1\n1,0.1234,17");
        assert_eq!(read_text(&text).0.len(), 1);
        assert!(only_problem(&text).contains("the file ends within it"));
        // All cells are there, but the last number may have lost figures.
        let text = format!("{HEADER}0,1,1,1,1,1,1\n1,1,1,1,1,1,1");
        assert_eq!(read_text(&text).0.len(), 1);
        assert!(only_problem(&text).contains("may be cut off"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(
            prop::array::uniform6(prop::option::of(prop::num::f64::POSITIVE | prop::num::f64::ZERO)), 0..30,
        )) {
            let cell = |value: &Option<f64>| value.map_or(String::new(), |v| v.abs().to_string());
            let mut text = HEADER.to_owned();
            for (i, row) in rows.iter().enumerate() {
                text += &format!("{i},{}\n", row.iter().map(cell).collect::<Vec<_>>().join(","));
            }
            let (requests, problems) = read_text(&text);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            // The fourth column, of gaps between arrivals, is not read.
            let is_known = |row: &[Option<f64>; 6]| row.iter().enumerate().any(|(i, cell)| i != 3 && cell.is_some());
            let known: Vec<_> = rows.iter().enumerate().filter(|(_, row)| is_known(row)).collect();
            prop_assert_eq!(requests.len(), known.len());
            for (request, (i, row)) in requests.iter().zip(known) {
                let positive = row.map(|value| value.map(f64::abs));
                prop_assert_eq!(request.seq, i as u64);
                prop_assert_eq!([request.service_s, request.arrival_s, request.departure_s], &positive[..3]);
                prop_assert_eq!(request.queueing_s, positive[4]);
            }
        }

        /// A line that is read the quick way is one that the careful way reads alike.
        #[test]
        fn the_quick_way_agrees_with_the_careful_one(text in "[0-9]{0,2}(,(-?[0-9.]{0,3}(e-?[0-9])?|[0-9]{0,10}\\.[0-9]{0,20}| 1|nan|inf)){0,4}\r?") {
            let layout = Layout { cells: vec![INDEX, 0, UNKNOWN, 1] };
            let line = Line { number: 1, text: text.as_bytes(), ended: true, too_long: false };
            let mut window = [b'1'; size_of::<Window>()];
            window[..=text.len()].copy_from_slice(format!("{text}\n").as_bytes());
            if let Some((quick, length)) = layout.plain_values(&window) {
                let bits = |values: Values| values.map(f64::to_bits);
                prop_assert_eq!(length, text.len() + 1);
                prop_assert_eq!(&bits(quick)[..INDEX], &bits(layout.values(line).unwrap())[..INDEX]);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "[0-9,.e\\-+a \n\r\"]{0,300}") {
            read_text(&text);
            read_text(&format!("{HEADER}{text}"));
        }
    }
}
