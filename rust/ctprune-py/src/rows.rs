//! Rows of a manifest as Python sees them: numpy columns, dicts, and Arrow's PyCapsule interface.

use crate::manifest_error::manifest_error;
use crate::settings::value_error;
use arrow_array::ffi::FFI_ArrowSchema;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{BooleanArray, RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_schema::SchemaRef;
use ctprune_archive::rows::batch::Cells;
use ctprune_archive::rows::plain_table::{self, NewColumn, TableError};
use ctprune_archive::rows::schema::{Kind, schema};
use ctprune_archive::rows::value::Value;
use ctprune_core::fingerprint;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyIndexError, PyKeyError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyList};
use std::collections::HashMap;
use std::path::PathBuf;

/// Rows that are made together where rows are taken from many batches.
const TAKEN_TOGETHER: usize = 1 << 16;

/// Rows of a manifest, immutable.
#[pyclass(frozen)]
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Rows {
    /// Rows of these batches, which all have this schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Self {
            schema,
            batches,
            rows,
        }
    }

    /// The batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    fn cells(&self, name: &str) -> PyResult<(Kind, Vec<(usize, Cells<'_>)>)> {
        let missing = || PyKeyError::new_err(format!("{name}: no such column"));
        let index = self.schema.index_of(name).map_err(|_| missing())?;
        let kind = Kind::of(self.schema.field(index).data_type()).ok_or_else(missing)?;
        let mut all = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let cells = Cells::new(kind, batch.column(index).as_ref()).ok_or_else(missing)?;
            all.push((batch.num_rows(), cells));
        }
        Ok((kind, all))
    }
}

fn values<'a>(cells: &'a [(usize, Cells<'a>)]) -> impl Iterator<Item = Value<'a>> {
    cells
        .iter()
        .flat_map(|(rows, cells)| (0..*rows).map(move |row| cells.value(row)))
}

#[pymethods]
impl Rows {
    /// The rows of several, one after the other.
    #[staticmethod]
    fn concat(parts: Vec<PyRef<'_, Rows>>) -> PyResult<Self> {
        let first = parts
            .first()
            .ok_or_else(|| value_error("expected rows, found none"))?;
        let batches = parts.iter().flat_map(|part| part.batches.iter().cloned());
        Ok(Self::new(first.schema.clone(), batches.collect()))
    }

    /// The rows of any table with the manifest's columns that has Arrow's PyCapsule interface.
    #[staticmethod]
    fn from_arrow(table: &Bound<'_, PyAny>, hash_size: usize) -> PyResult<Self> {
        let capsule = table.call_method0("__arrow_c_stream__")?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
        // SAFETY: a capsule of this name holds an ArrowArrayStream, which the reader takes out of it.
        let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr().cast()) };
        let reader = reader.map_err(value_error)?;
        let wanted: SchemaRef = schema(fingerprint::bytes(hash_size)).into();
        let names = |schema: &SchemaRef| {
            schema
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .collect::<Vec<_>>()
        };
        if names(&reader.schema()) != names(&wanted) {
            return Err(value_error("expected the manifest's columns, found others"));
        }
        let batches = reader.map(|batch| {
            let columns = batch.map_err(value_error)?.columns().to_vec();
            RecordBatch::try_new(wanted.clone(), columns).map_err(value_error)
        });
        Ok(Self::new(wanted.clone(), batches.collect::<PyResult<_>>()?))
    }

    /// A table of columns by name: lists of texts, arrays of integers, of floats, or of vectors of floats.
    #[staticmethod]
    fn from_columns(columns: &Bound<'_, PyDict>) -> PyResult<Self> {
        let built = columns.iter().map(|(name, values)| {
            let name: String = name.extract()?;
            let column = new_column(&values)
                .map_err(|_| value_error(format!("{name}: expected texts or numbers, found another kind")))?;
            Ok(column.build(&name))
        });
        let (fields, arrays): (Vec<_>, Vec<_>) = built.collect::<PyResult<Vec<_>>>()?.into_iter().unzip();
        let schema: SchemaRef = arrow_schema::Schema::new(fields).into();
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(value_error)?;
        Ok(Self::new(schema, vec![batch]))
    }

    /// The table of a Parquet file, or some of its columns, and what stands under ctprune's key in its metadata.
    #[staticmethod]
    #[pyo3(signature = (file, columns=None))]
    fn read(py: Python<'_>, file: PathBuf, columns: Option<Vec<String>>) -> PyResult<(Self, Option<String>)> {
        let table = py.detach(|| plain_table::read(&file, columns.as_deref()));
        let table = table.map_err(|error| match error {
            TableError::Io(error) => PyErr::from(error),
            _ => value_error(error),
        })?;
        Ok((Self::new(table.schema, table.batches), table.about))
    }

    /// Write the rows as a Parquet file, `about` under ctprune's key into its metadata.
    #[pyo3(signature = (file, about=None))]
    fn write(&self, py: Python<'_>, file: PathBuf, about: Option<&str>) -> PyResult<()> {
        py.detach(|| plain_table::write(&file, &self.schema, &self.batches, about))
            .map_err(manifest_error)
    }

    fn __len__(&self) -> usize {
        self.rows
    }

    /// Whether both have the same columns and values.
    fn __eq__(&self, py: Python<'_>, other: &Rows) -> PyResult<bool> {
        if self.schema != other.schema || self.rows != other.rows {
            return Ok(false);
        }
        let together = |rows: &Rows| arrow_select::concat::concat_batches(&rows.schema, &rows.batches);
        py.detach(|| Ok(together(self)? == together(other)?))
            .map_err(|error: arrow_schema::ArrowError| value_error(error))
    }

    /// Names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    }

    /// One column.
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let (kind, cells) = self.cells(name)?;
        let integer = |value: Value<'_>| value.integer().unwrap_or(-1);
        let float = |value: Value<'_>| value.float().unwrap_or(f64::NAN);
        Ok(match kind {
            Kind::Text => {
                let texts = values(&cells).map(|value| match value {
                    Value::Text(text) => text,
                    _ => "",
                });
                PyList::new(py, texts.collect::<Vec<_>>())?.into_any()
            }
            Kind::Int32 => {
                let integers = values(&cells).map(|value| integer(value) as i32);
                PyArray1::from_vec(py, integers.collect()).into_any()
            }
            Kind::Int64 => PyArray1::from_vec(py, values(&cells).map(integer).collect()).into_any(),
            Kind::Float32 => {
                let floats = values(&cells).map(|value| float(value) as f32);
                PyArray1::from_vec(py, floats.collect()).into_any()
            }
            Kind::Float64 => PyArray1::from_vec(py, values(&cells).map(float).collect()).into_any(),
            Kind::Floats(count) => {
                let mut all = Vec::with_capacity(self.rows * count);
                for value in values(&cells) {
                    match value {
                        Value::Floats(floats) => all.extend_from_slice(floats),
                        _ => all.extend(std::iter::repeat_n(f64::NAN, count)),
                    }
                }
                PyArray1::from_vec(py, all)
                    .reshape([self.rows, count])?
                    .into_any()
            }
            Kind::Fingerprint => {
                let width = self.fingerprint_bytes(name);
                let mut all = Vec::with_capacity(self.rows * width);
                for value in values(&cells) {
                    match value {
                        Value::Bytes(bytes) => all.extend_from_slice(bytes),
                        _ => all.extend(std::iter::repeat_n(0, width)),
                    }
                }
                PyArray1::from_vec(py, all)
                    .reshape([self.rows, width])?
                    .into_any()
            }
        })
    }

    /// A column of texts as its different values and, for each row, the index of its own.
    fn labels<'py>(&self, py: Python<'py>, name: &str) -> PyResult<(Vec<String>, Bound<'py, PyArray1<i64>>)> {
        let (kind, cells) = self.cells(name)?;
        if kind != Kind::Text {
            return Err(PyKeyError::new_err(format!("{name}: not a column of texts")));
        }
        let (mut names, mut indices) = (Vec::new(), Vec::with_capacity(self.rows));
        let mut known: HashMap<&str, i64> = HashMap::new();
        for value in values(&cells) {
            let text = if let Value::Text(text) = value { text } else { "" };
            let index = *known.entry(text).or_insert_with(|| {
                names.push(text.to_owned());
                names.len() as i64 - 1
            });
            indices.push(index);
        }
        Ok((names, PyArray1::from_vec(py, indices)))
    }

    /// Some of the columns.
    fn select(&self, columns: Vec<String>) -> PyResult<Self> {
        let index_of = |name: &String| {
            let missing = |_| PyKeyError::new_err(format!("{name}: no such column"));
            self.schema.index_of(name).map_err(missing)
        };
        let indices = columns.iter().map(index_of).collect::<PyResult<Vec<_>>>()?;
        let schema = self.schema.project(&indices).map_err(value_error)?;
        let batches = self.batches.iter().map(|batch| batch.project(&indices));
        let batches = batches.collect::<Result<_, _>>().map_err(value_error)?;
        Ok(Self::new(schema.into(), batches))
    }

    /// Rows from `start` to before `stop`, without copying them.
    fn slice(&self, start: usize, stop: usize) -> Self {
        let (mut batches, mut begin) = (Vec::new(), 0);
        for batch in &self.batches {
            let end = begin + batch.num_rows();
            let (from, to) = (start.max(begin), stop.min(end));
            if from < to {
                batches.push(batch.slice(from - begin, to - from));
            }
            begin = end;
        }
        Self::new(self.schema.clone(), batches)
    }

    /// The rows where a mask is true.
    fn filter(&self, py: Python<'_>, mask: PyReadonlyArray1<'_, bool>) -> PyResult<Self> {
        let mask = mask.as_slice()?;
        if mask.len() != self.rows {
            let (expected, found) = (self.rows, mask.len());
            return Err(value_error(format!(
                "expected a mask of {expected} rows, found {found}"
            )));
        }
        let filtered = py.detach(|| {
            let mut begin = 0;
            let mut of_batch = |batch: &RecordBatch| {
                let part = BooleanArray::from(mask[begin..begin + batch.num_rows()].to_vec());
                begin += batch.num_rows();
                arrow_select::filter::filter_record_batch(batch, &part)
            };
            self.batches
                .iter()
                .map(&mut of_batch)
                .collect::<Result<Vec<_>, _>>()
        });
        Ok(Self::new(self.schema.clone(), filtered.map_err(value_error)?))
    }

    /// The rows with these indices, in their order.
    fn take(&self, py: Python<'_>, indices: PyReadonlyArray1<'_, i64>) -> PyResult<Self> {
        let mut ends = Vec::with_capacity(self.batches.len());
        let mut rows = 0;
        for batch in &self.batches {
            rows += batch.num_rows();
            ends.push(rows);
        }
        let batch_and_row = |&index: &i64| -> PyResult<(usize, usize)> {
            let row = usize::try_from(index).ok().filter(|row| *row < self.rows);
            let row = row.ok_or_else(|| {
                PyIndexError::new_err(format!("row {index} is not one of {} rows", self.rows))
            })?;
            let batch = ends.partition_point(|end| *end <= row);
            Ok((batch, row - (ends[batch] - self.batches[batch].num_rows())))
        };
        let rows = indices
            .as_slice()?
            .iter()
            .map(batch_and_row)
            .collect::<PyResult<Vec<_>>>()?;
        let batches: Vec<_> = self.batches.iter().collect();
        let taken = py.detach(|| {
            rows.chunks(TAKEN_TOGETHER)
                .map(|some| arrow_select::interleave::interleave_record_batch(&batches, some))
                .collect::<Result<Vec<_>, _>>()
        });
        Ok(Self::new(self.schema.clone(), taken.map_err(value_error)?))
    }

    /// Each row as a dict of its columns.
    fn to_dicts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| Ok((field.name().as_str(), self.cells(field.name())?.1)))
            .collect::<PyResult<Vec<_>>>()?;
        let mut dicts = Vec::with_capacity(self.rows);
        for (number, batch) in self.batches.iter().enumerate() {
            for row in 0..batch.num_rows() {
                let dict = PyDict::new(py);
                for (name, cells) in &columns {
                    dict.set_item(name, to_python(py, cells[number].1.value(row))?)?;
                }
                dicts.push(dict);
            }
        }
        Ok(dicts)
    }

    /// Arrow's PyCapsule interface: a stream of batches.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer may ask for other types; a producer need not follow.
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// Arrow's PyCapsule interface: the columns.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref()).map_err(value_error)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }
}

impl Rows {
    fn fingerprint_bytes(&self, name: &str) -> usize {
        match self.schema.field_with_name(name).map(|field| field.data_type()) {
            Ok(arrow_schema::DataType::FixedSizeBinary(width)) => *width as usize,
            _ => 0,
        }
    }
}

fn new_column(values: &Bound<'_, PyAny>) -> PyResult<NewColumn> {
    if let Ok(integers) = values.extract::<PyReadonlyArray1<'_, i64>>() {
        return Ok(NewColumn::Integers(integers.as_array().to_vec()));
    }
    if let Ok(floats) = values.extract::<PyReadonlyArray1<'_, f64>>() {
        return Ok(NewColumn::Floats(floats.as_array().to_vec()));
    }
    if let Ok(vectors) = values.extract::<PyReadonlyArray2<'_, f64>>() {
        let vectors = vectors.as_array();
        return Ok(NewColumn::Vectors(
            vectors.iter().copied().collect(),
            vectors.ncols(),
        ));
    }
    Ok(NewColumn::Texts(values.extract()?))
}

/// One value as Python's own.
pub fn to_python<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::Integer(integer) => integer.into_pyobject(py)?.into_any(),
        Value::Float(float) => float.into_pyobject(py)?.into_any(),
        Value::Floats(floats) => PyList::new(py, floats)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}
