//! Records in Parquet: one row type a table, one column a field.
//!
//! [`Row`] turns records into Arrow batches and back; [`TableWriter`] and [`read_table`] do so for files, [`Scan`] for the
//! tables of a dataset, row by row. A row type of a part of a table's columns, made by [`row!`](crate::row!), reads just those. Units and the schema's
//! version stand in the field metadata (`unit`, `description`) and the schema metadata (`neuro.schema`).

mod byte_streams;
mod chunk;
mod floats;
mod name_runs;
mod reader;
mod row;
mod scan;
mod schema;
mod writer;

#[doc(no_inline)]
pub use arrow;
pub(crate) use reader::read_schema;
pub(crate) use reader::{files_of, partition, partition_of};
pub use reader::{read_table, table_files};
pub(crate) use row::row;
pub use row::{Cell, Instant, Row, values_of};
pub use scan::{Rows, Scan};
pub use schema::{DATASET_SCHEMA, QUANTILES, QuantileRow, RunRow, TenantRow};
pub use writer::{GROUP_ROWS, TableWriter};
