//! Lines of a text file, one at a time and none longer than memory.

use std::io::{self, Read};

use memchr::memchr;

/// Longest line that is read, bytes. A longer one is passed over.
const LONGEST: usize = 1 << 16;

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes; none where it is longer than 64 KiB.
    pub(super) text: &'a [u8],
    /// Whether the file goes on or ends with a line feed after it: the last line of a truncated file has none.
    pub(super) ended: bool,
    /// Whether it was longer than is read.
    pub(super) too_long: bool,
}

/// Reads lines through one buffer.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next line starts and what was read ends.
    start: usize,
    filled: usize,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; 2 * LONGEST], start: 0, filled: 0, number: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let length = loop {
            let unsearched = &self.buffer[self.start + searched..self.filled];
            if let Some(at) = memchr(b'\n', unsearched).filter(|at| searched + at <= LONGEST) {
                break searched + at;
            }
            searched = self.filled - self.start;
            if searched > LONGEST {
                return self.pass_over().map(Some);
            }
            if self.fill()? == 0 {
                break searched;
            }
        };
        let (start, end) = (self.start, self.start + length);
        let ended = end < self.filled;
        if !ended && length == 0 {
            return Ok(None);
        }
        self.start = end + usize::from(ended);
        self.number += 1;
        let text = &self.buffer[start..end];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Some(Line { number: self.number, text, ended, too_long: false }))
    }

    /// What is there of the coming lines without reading on.
    pub(super) fn coming(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Passes a line over that was found in [`Self::coming`]; `length` is that of its end too.
    pub(super) fn pass(&mut self, length: usize) {
        self.start += length;
        self.number += 1;
    }

    /// Reads on behind what is there; returns how much.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            (self.start, self.filled) = (0, self.filled - self.start);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let count = read?;
                    self.filled += count;
                    return Ok(count);
                }
            }
        }
    }

    /// A line that is longer than is read, of which everything up to the next line feed is passed over.
    fn pass_over(&mut self) -> io::Result<Line<'_>> {
        let ended = loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.start..self.filled]) {
                self.start += at + 1;
                break true;
            }
            self.start = self.filled;
            if self.fill()? == 0 {
                break false;
            }
        };
        self.number += 1;
        Ok(Line { number: self.number, text: &[], ended, too_long: true })
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
    fn a_coming_line_may_be_passed_over() {
        let mut lines = Lines::new(&b"a\nbc\nd\n"[..]);
        assert_eq!(lines.coming(), b"", "nothing is read yet");
        lines.next().unwrap();
        assert_eq!(lines.coming(), b"bc\nd\n");
        lines.pass(3);
        let line = lines.next().unwrap().unwrap();
        assert_eq!((line.number, line.text), (3, &b"d"[..]));
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = vec![b'x'; 1_000_000];
        text.extend(b"\nnext\n");
        let lines = lines(&text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], (String::new(), true, true));
        assert_eq!(lines[1], ("next".to_owned(), true, false));
        // One byte more than is read, and none more.
        for (length, too_long) in [(LONGEST, false), (LONGEST + 1, true)] {
            assert_eq!(self::lines(&[vec![b'x'; length], b"\n".to_vec()].concat())[0].2, too_long, "{length}");
        }
        assert_eq!(self::lines(&vec![b'x'; 300_000]), [(String::new(), false, true)]);
    }
}
