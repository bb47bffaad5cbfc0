//! One flat table as Parquet.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{PrimitiveTypeBuilder, Type};

use super::series::Series;
use crate::base::{Error, Kind, Result};

/// Columns `run`, `tag` (texts), `step` (int64), `wall_time`, `value` (float64), none of them nullable.
pub fn table(series: &Series) -> Result<Vec<u8>> {
    write(series).map_err(|e| Error::new(Kind::Io, format!("cannot write as Parquet: {e}")))
}

fn write(series: &Series) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder().set_created_by("ffn".to_owned());
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema()?), properties)?;
    let mut group = writer.next_row_group()?;
    let points = &series.points;
    let run = ByteArray::from(series.run.as_str());
    let texts = |of: fn(&super::series::Point) -> &str| points.iter().map(of).map(ByteArray::from);
    column::<ByteArrayType>(&mut group, points.iter().map(|_| run.clone()))?;
    column::<ByteArrayType>(&mut group, texts(|point| &point.tag))?;
    column::<Int64Type>(&mut group, points.iter().map(|point| point.step as i64))?;
    column::<DoubleType>(&mut group, points.iter().map(|point| point.wall_time))?;
    column::<DoubleType>(&mut group, points.iter().map(|point| point.value))?;
    group.close()?;
    writer.into_inner()
}

fn text(name: &str) -> PrimitiveTypeBuilder<'_> {
    Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
}

fn schema() -> Result<Type, ParquetError> {
    let number = Type::primitive_type_builder;
    let columns = [
        text("run"),
        text("tag"),
        number("step", Physical::INT64),
        number("wall_time", Physical::DOUBLE),
        number("value", Physical::DOUBLE),
    ];
    let columns = columns.map(|column| column.with_repetition(Repetition::REQUIRED).build());
    let columns = columns.into_iter().map(|column| column.map(Arc::new));
    Type::group_type_builder("metrics")
        .with_fields(columns.collect::<Result<_, _>>()?)
        .build()
}

/// Writes the next column.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = T::T>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has no such column".to_owned());
    let mut writer = group.next_column()?.ok_or_else(missing)?;
    let values: Vec<T::T> = values.collect();
    writer.typed::<T>().write_batch(&values, None, None)?;
    writer.close()
}
