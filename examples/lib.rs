//! The examples are the files beside this one; `README.md` lists them.

mod evaluation;

pub use evaluation::Evaluation;
