//! What is wrong with a raw file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Problems of one file that are kept in words; further ones are counted.
const KEPT_PER_FILE: u64 = 20;
/// Problems of one ingestion that are kept in words; further ones are counted.
const KEPT: usize = 1_000;

/// Something in a raw file or folder that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// The line, from 1; `None` where it is the file as a whole.
    pub line: Option<u64>,
    /// The column, in bytes from 1.
    pub column: Option<u64>,
    /// What is wrong, and what was done about it.
    pub reason: String,
}

impl Problem {
    /// A problem of a file or folder as a whole.
    pub fn of_file(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), line: None, column: None, reason: reason.to_string() }
    }

    /// A problem at a place in a file.
    pub fn at(path: &Path, line: u64, column: u64, reason: impl fmt::Display) -> Self {
        Self { line: Some(line), column: Some(column), ..Self::of_file(path, reason) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for place in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{place}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Problem {}

/// Problems in the order they were met: all of them counted, the first ones kept in words. Where they are not tolerated the
/// first is an error.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    kept: Vec<Problem>,
    total: u64,
    strict: bool,
}

impl Problems {
    /// None so far; with `strict` the first will be an error.
    pub fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// Takes note of a problem.
    ///
    /// # Errors
    /// [`Error::Problem`] where problems are not tolerated.
    pub fn add(&mut self, problem: Problem) -> Result<()> {
        if self.strict {
            return Err(Error::Problem(problem));
        }
        self.total += 1;
        let of_file = self.kept.iter().rev().take_while(|known| known.path == problem.path).count() as u64;
        if of_file < KEPT_PER_FILE && self.kept.len() < KEPT {
            self.kept.push(problem);
        }
        Ok(())
    }

    /// Adds those of another list.
    pub fn extend(&mut self, other: Self) {
        self.total += other.total;
        self.kept.extend(other.kept);
        self.kept.truncate(KEPT);
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those that are kept in words: at most 20 of a file and 1,000 in all.
    pub fn kept(&self) -> &[Problem] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_compilers_write_it() {
        let path = Path::new("raw/tenant-1.csv");
        assert_eq!(Problem::at(path, 3, 14, "no number").to_string(), "raw/tenant-1.csv:3:14: no number");
        assert_eq!(Problem::of_file(path, "empty").to_string(), "raw/tenant-1.csv: empty");
    }

    #[test]
    fn many_problems_are_counted_and_few_are_kept() {
        let mut problems = Problems::new(false);
        for file in ["a", "b"] {
            for line in 1..=100 {
                problems.add(Problem::at(Path::new(file), line, 1, "bad")).unwrap();
            }
        }
        assert_eq!((problems.total(), problems.kept().len()), (200, 40));
        assert!(Problems::new(true).add(Problem::of_file(Path::new("a"), "bad")).is_err());
    }
}
