//! Slices and refused files as rows: in memory, as Arrow columns, in the manifest's file.
//!
//! To add a column: a field in what holds it ([`table::SeriesAttributes`] where all slices of a series share it), and
//! an entry in [`schema::COLUMNS`].

pub mod batch;
pub mod error;
pub mod intern;
pub mod manifest_reader;
pub mod manifest_writer;
pub mod parquet_writer;
pub mod plain_table;
pub mod row;
pub mod schema;
pub mod seal;
pub mod table;
pub mod uids;
pub mod validate;
pub mod value;
pub mod view;
