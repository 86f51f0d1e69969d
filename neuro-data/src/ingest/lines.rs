//! Lines of a text file, one at a time and none longer than memory.

use std::io::{self, BufRead, Read};

/// Longest line that is read, bytes. A longer one is passed over.
const LONGEST: u64 = 1 << 16;

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes; cut off where it is longer than 64 KiB.
    pub(super) text: &'a [u8],
    /// Whether the file goes on or ends with a line feed after it: the last line of a truncated file has none.
    pub(super) ended: bool,
    /// Whether it was longer than is read.
    pub(super) too_long: bool,
}

/// Reads lines into one buffer.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        if self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = self.buffer.last() == Some(&b'\n');
        let too_long = !ended && self.buffer.len() as u64 == LONGEST;
        let ended = if too_long { self.skip_to_end()? } else { ended };
        let text = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Some(Line { number: self.number, text, ended, too_long }))
    }

    /// Reads on behind the next line feed; false where there is none.
    fn skip_to_end(&mut self) -> io::Result<bool> {
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(false);
            }
            let (length, found) = match available.iter().position(|byte| *byte == b'\n') {
                Some(position) => (position + 1, true),
                None => (available.len(), false),
            };
            self.reader.consume(length);
            if found {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(String, bool, bool)> {
        let mut lines = Lines::new(text);
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((String::from_utf8_lossy(line.text).into_owned(), line.ended, line.too_long));
        }
        out
    }

    #[test]
    fn lines_end_with_a_feed_or_a_return_and_a_feed_and_the_last_one_may_be_cut() {
        let line = |text: &str, ended| (text.to_owned(), ended, false);
        assert_eq!(lines(b"a\r\n\nb"), [line("a", true), line("", true), line("b", false)]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = vec![b'x'; 200_000];
        text.extend(b"\nnext\n");
        let lines = lines(&text);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].0.len(), lines[0].2), (LONGEST as usize, true));
        assert_eq!(lines[1], ("next".to_owned(), true, false));
    }
}
