//! Records in Parquet: one row type a table, one column a field.
//!
//! [`Row`] turns records into Arrow batches and back; [`TableWriter`] and [`read_table`] do so for files. Units and the schema's
//! version stand in the field metadata (`unit`, `description`) and the schema metadata (`neuro.schema`).

mod reader;
mod row;
mod schema;
mod writer;

pub(crate) use reader::read_schema;
pub use reader::{read_table, table_files};
pub use row::{Cell, Instant, Row};
pub use schema::{DATASET_SCHEMA, QUANTILES, QuantileRow, RunRow, TenantRow};
pub use writer::{GROUP_ROWS, TableWriter};
