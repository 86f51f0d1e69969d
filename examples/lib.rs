//! The examples are the files beside this one; `README.md` lists them. What `figures` and `orchestrate` share is the library.

mod evaluation;

pub use evaluation::Evaluation;
