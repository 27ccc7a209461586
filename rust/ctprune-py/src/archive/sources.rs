//! Where the slices are: folders and files, earlier tables, what is left out.

use super::{Archive, shard};
use crate::pseudonyms::secret;
use crate::rows::Rows;
use crate::settings::value_error;
use pyo3::prelude::*;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

#[pymethods]
impl Archive {
    /// Declare a source, before anything is taken over: sources come in this order; a file's source is its folder.
    fn declare_source(&mut self, root: PathBuf) {
        self.inner.declare_source(&root);
    }

    /// Leave all files to others but those of share `number`, from 1, of `of`; before anything is taken over.
    fn set_shard(&mut self, number: u32, of: u32) -> PyResult<()> {
        self.inner.set_shard(shard(number, of)?);
        Ok(())
    }

    /// Take earlier tables as they are, refusals too; `finish_without_discovery` ends it.
    fn take_whole(&mut self) {
        self.inner.take_whole();
    }

    /// Take all that earlier tables know for what there is: no source is walked.
    fn finish_without_discovery(&mut self) {
        self.inner.finish_without_discovery();
    }

    /// Go on to another earlier table, older than those before.
    fn begin_earlier(&mut self) {
        self.inner.begin_earlier();
    }

    /// Take over rows of an earlier table.
    fn add_earlier(&mut self, py: Python<'_>, rows: &Rows) -> PyResult<()> {
        py.detach(|| {
            rows.batches()
                .iter()
                .try_for_each(|batch| self.inner.add_earlier(batch))
        })
        .map_err(value_error)
    }

    /// Read only files whose path relative to their source matches this regular expression or another one given
    /// so; before any source is added.
    fn include(&mut self, pattern: &str) -> PyResult<()> {
        let pattern = Regex::new(pattern).map_err(|error| value_error(error.to_string()))?;
        self.inner.include(pattern);
        Ok(())
    }

    /// Do not read files whose path relative to their source matches this regular expression, made of `glob`;
    /// before any source is added.
    fn exclude(&mut self, pattern: &str, glob: &str) -> PyResult<()> {
        let pattern = Regex::new(pattern).map_err(|error| value_error(error.to_string()))?;
        self.inner.exclude(pattern, glob);
        Ok(())
    }

    /// Give pseudonyms with this key, at least 32 bytes, and take over only rows that have them; before all else.
    /// With `keep_originals` there are lines of a table.
    fn pseudonymize(&mut self, key: &[u8], sources: Vec<PathBuf>, keep_originals: bool) -> PyResult<()> {
        self.inner.pseudonymize(secret(key)?, sources, keep_originals);
        Ok(())
    }

    /// Name what lies on other machines, paths by source, so that rows of an earlier run with pseudonyms are known.
    fn name_remote(&mut self, listed: Vec<(String, Vec<String>)>) {
        self.inner.name_remote(listed);
    }

    /// Kind, pseudonym and original of some lines of the table; none after the last one.
    fn pseudonym_lines(&self, start: usize, stop: usize) -> Vec<(&'static str, String, String)> {
        (start..stop)
            .map_while(|number| self.inner.pseudonym_line(number))
            .collect()
    }

    /// Walk this folder too.
    fn add_source(&mut self, root: PathBuf) {
        self.inner.add_source(&root);
    }

    /// Read this file too; its folder counts as the source.
    fn add_file(&mut self, path: PathBuf) -> PyResult<()> {
        self.inner.add_file(&path).map_err(value_error)
    }

    /// Walk for about this many seconds; False when every folder is listed.
    fn discover(&mut self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        py.detach(|| self.inner.discover(Duration::from_secs_f64(seconds)))
            .map_err(value_error)
    }
}
