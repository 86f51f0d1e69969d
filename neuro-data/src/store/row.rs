//! A record as a row of a table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, Fields, Float64Type, SchemaRef, TimeUnit, TimestampMicrosecondType, UInt32Type, UInt64Type,
};

use crate::datapoint::ContextEntry;
use crate::{RequestStatus, RunStatus};

/// A record type that is a row of a table. Implemented by the `row!` macro, which lists the columns once.
pub trait Row: Sized {
    /// Name of the table, and of its folder in a dataset.
    const TABLE: &'static str;

    /// Columns in order, with units and descriptions in the metadata.
    fn schema() -> SchemaRef;

    /// Rows as columns.
    ///
    /// # Errors
    /// Arrow refuses the columns, which would be a fault of the schema.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, arrow::error::ArrowError>;

    /// Columns as rows; columns are found by name, further ones are passed over.
    ///
    /// # Errors
    /// A column is missing, of another type, or holds a value that the field cannot.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, String>;
}

/// A value that a column can hold.
pub trait Cell: Sized {
    /// The Arrow type of the column.
    fn data_type() -> DataType;
    /// Whether the column may hold nulls.
    const NULLABLE: bool = false;
    /// The column of some values.
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// The values of a column.
    ///
    /// # Errors
    /// The column has another type, a null where none may be, or an unknown name.
    fn values(column: &dyn Array) -> Result<Vec<Self>, String>;
}

/// The column of `name`, as values.
///
/// # Errors
/// There is none, it is of another type, or it holds what a value cannot be.
pub fn values_of<T: Cell>(batch: &RecordBatch, name: &str) -> Result<Vec<T>, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column {name:?}"))?;
    if !T::NULLABLE && column.null_count() > 0 {
        return Err(format!("column {name:?} holds {} nulls", column.null_count()));
    }
    T::values(column.as_ref()).map_err(|reason| format!("column {name:?}: {reason}"))
}

fn mistyped<T: Cell>(column: &dyn Array) -> String {
    format!("is {}, not {}", column.data_type(), T::data_type())
}

macro_rules! primitive_cell {
    ($type:ty, $array:ty, $arrow:ty, $data_type:expr) => {
        impl Cell for $type {
            fn data_type() -> DataType {
                $data_type
            }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(<$array>::from_iter_values(values.copied()))
            }
            fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
                let array = column.as_primitive_opt::<$arrow>().ok_or_else(|| mistyped::<Self>(column))?;
                Ok(array.values().to_vec())
            }
        }
        impl Cell for Option<$type> {
            const NULLABLE: bool = true;
            fn data_type() -> DataType {
                $data_type
            }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(values.copied().collect::<$array>())
            }
            fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
                let array = column.as_primitive_opt::<$arrow>().ok_or_else(|| mistyped::<Self>(column))?;
                Ok(array.iter().collect())
            }
        }
    };
}

primitive_cell!(f64, Float64Array, Float64Type, DataType::Float64);
primitive_cell!(u32, UInt32Array, UInt32Type, DataType::UInt32);
primitive_cell!(u64, UInt64Array, UInt64Type, DataType::UInt64);

impl Cell for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.copied().map(Some).collect::<BooleanArray>())
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let array = column.as_boolean_opt().ok_or_else(|| mistyped::<Self>(column))?;
        Ok(array.values().iter().collect())
    }
}

impl Cell for String {
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let array = column.as_string_opt::<i32>().ok_or_else(|| mistyped::<Self>(column))?;
        Ok(array.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }
}

impl Cell for Option<String> {
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.map(Option::as_deref).collect::<StringArray>())
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let array = column.as_string_opt::<i32>().ok_or_else(|| mistyped::<Self>(column))?;
        Ok(array.iter().map(|value| value.map(str::to_owned)).collect())
    }
}

/// An instant in seconds since the Unix epoch, stored as a UTC timestamp of microseconds.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Instant(pub f64);

impl Cell for Instant {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let array = TimestampMicrosecondArray::from_iter_values(values.map(|instant| (instant.0 * 1e6).round() as i64));
        Arc::new(array.with_timezone("UTC"))
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let array = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| mistyped::<Self>(column))?;
        Ok(array.values().iter().map(|micros| Self(*micros as f64 / 1e6)).collect())
    }
}

impl Cell for Option<Instant> {
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        Instant::data_type()
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let micros = values.map(|instant| instant.map(|instant| (instant.0 * 1e6).round() as i64));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let array = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| mistyped::<Self>(column))?;
        Ok(array.iter().map(|micros| micros.map(|micros| Instant(micros as f64 / 1e6))).collect())
    }
}

impl<T: Cell + Clone> Cell for Vec<T> {
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", T::data_type(), T::NULLABLE)))
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a,
    {
        let lists: Vec<&Self> = values.collect();
        let items = T::column(lists.iter().copied().flatten());
        let field = Arc::new(Field::new("item", T::data_type(), T::NULLABLE));
        let lengths = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
        Arc::new(ListArray::new(field, lengths, items, None))
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let lists = column.as_list_opt::<i32>().ok_or_else(|| mistyped::<Self>(column))?;
        let items = T::values(lists.values().as_ref())?;
        let ranges = lists.value_offsets().windows(2).map(|ends| ends[0] as usize..ends[1] as usize);
        ranges.map(|range| items.get(range).map(<[T]>::to_vec).ok_or_else(|| "a list is cut off".to_owned())).collect()
    }
}

macro_rules! named_cell {
    ($type:ty) => {
        impl Cell for $type {
            fn data_type() -> DataType {
                DataType::Utf8
            }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(StringArray::from_iter_values(values.map(|value| value.name())))
            }
            fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
                String::values(column)?
                    .iter()
                    .map(|name| Self::from_name(name).ok_or_else(|| format!("unknown value {name:?}")))
                    .collect()
            }
        }
    };
}

named_cell!(RequestStatus);
named_cell!(RunStatus);
named_cell!(crate::RunKind);

named_cell!(crate::datapoint::DatapointKind);

impl Cell for ContextEntry {
    fn data_type() -> DataType {
        DataType::Struct(context_fields())
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let values: Vec<&Self> = values.collect();
        let apps = String::column(values.iter().map(|entry| &entry.app));
        let instances = f64::column(values.iter().map(|entry| &entry.instances));
        let rates = f64::column(values.iter().map(|entry| &entry.rate));
        Arc::new(StructArray::new(context_fields(), vec![apps, instances, rates], None))
    }
    fn values(column: &dyn Array) -> Result<Vec<Self>, String> {
        let entries = column.as_struct_opt().ok_or_else(|| mistyped::<Self>(column))?;
        let child = |name| entries.column_by_name(name).ok_or_else(|| format!("no field {name:?}"));
        let (apps, instances) = (String::values(child("app")?)?, f64::values(child("instances")?)?);
        let loads = instances.into_iter().zip(f64::values(child("rate")?)?);
        Ok(apps.into_iter().zip(loads).map(|(app, (instances, rate))| Self { app, instances, rate }).collect())
    }
}

fn context_fields() -> Fields {
    let fields = [("app", DataType::Utf8), ("instances", DataType::Float64), ("rate", DataType::Float64)];
    fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, false)).collect()
}

/// Implements [`Row`](crate::store::Row) for a struct: each line is a field, its type, its unit and what it is.
///
/// The columns may be some of a table's: reading such rows reads no others. The fields are those of the struct, all of them.
///
/// # Example
/// ```
/// /// The service time of a request and whose it is.
/// struct ServiceTime {
///     app: String,
///     service_s: Option<f64>,
/// }
///
/// neuro_data::row!(ServiceTime, "requests", {
///     app: String, "", "application";
///     service_s: Option<f64>, "s", "time of the inference alone";
/// });
///
/// fn total(dataset: &neuro_data::Dataset) -> neuro_data::Result<f64> {
///     dataset.scan::<ServiceTime>().of_apps(["tclf-rf"]).rows()?.map(|row| Ok(row?.service_s.unwrap_or(0.0))).sum()
/// }
/// ```
#[macro_export]
macro_rules! row {
    ($type:ty, $table:literal, { $($field:ident : $cell:ty, $unit:literal, $description:literal;)* }) => {
        impl $crate::store::Row for $type {
            const TABLE: &'static str = $table;

            fn schema() -> $crate::store::arrow::datatypes::SchemaRef {
                use $crate::store::Cell;
                use $crate::store::arrow::datatypes::{Field, Schema};
                let mut fields = Vec::new();
                $(
                    let mut metadata = std::collections::HashMap::from([("description".to_owned(), $description.to_owned())]);
                    if !$unit.is_empty() {
                        metadata.insert("unit".to_owned(), $unit.to_owned());
                    }
                    let field = Field::new(stringify!($field), <$cell>::data_type(), <$cell>::NULLABLE);
                    fields.push(field.with_metadata(metadata));
                )*
                let version = [("neuro.schema".to_owned(), $crate::store::DATASET_SCHEMA.to_string())];
                let metadata = std::collections::HashMap::from(version);
                std::sync::Arc::new(Schema::new_with_metadata(fields, metadata))
            }

            fn to_batch(
                rows: &[Self],
            ) -> std::result::Result<$crate::store::arrow::array::RecordBatch, $crate::store::arrow::error::ArrowError> {
                use $crate::store::Cell;
                let columns = vec![$(<$cell>::column(rows.iter().map(|row| &row.$field)),)*];
                $crate::store::arrow::array::RecordBatch::try_new(Self::schema(), columns)
            }

            fn from_batch(batch: &$crate::store::arrow::array::RecordBatch) -> std::result::Result<Vec<Self>, String> {
                $(let mut $field = $crate::store::values_of::<$cell>(batch, stringify!($field))?.into_iter();)*
                let mut rows = Vec::with_capacity(batch.num_rows());
                while let ($(Some($field),)*) = ($($field.next(),)*) {
                    rows.push(Self { $($field,)* });
                }
                Ok(rows)
            }
        }
    };
}
pub(crate) use row;
