//! Containers on other machines: `ZipDirectory`, `Feed`, `StoredContainer`.

use crate::settings::{read_options, value_error};
use ctprune_containers::bytes::Bytes;
use ctprune_containers::feed;
use ctprune_containers::index::{Index, Member};
use ctprune_containers::listing::names_of;
use ctprune_containers::open::{Container, kind_of};
use ctprune_containers::remote::{self, Directory, Unpacked};
use ctprune_containers::{Kind, promised_kind};
use ctprune_dicom::read::{HEAD_BYTES, format_of};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kind of container with this name and these first bytes: `zip`, `tar`, `tar.gz`, `tar.zst`; None for a file.
#[pyfunction]
pub fn container_kind_by_head(name: &str, head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let may_be_zip = promised_kind(name) == Some(Kind::Zip) && format_of(head).is_none();
    Some(match kind_of(head).or(may_be_zip.then_some(Kind::Zip))? {
        Kind::Zip => "zip",
        Kind::Tar => "tar",
        Kind::TarGz => "tar.gz",
        Kind::TarZst => "tar.zst",
    })
}

/// Whether a file's name promises a container.
#[pyfunction]
pub fn promises_container(name: &str) -> bool {
    promised_kind(name).is_some()
}

/// The directory of a zip file that lies elsewhere.
#[pyclass(frozen)]
pub struct ZipDirectory {
    index: Index,
    len: u64,
}

/// Bytes, how many bytes are needed, or why there are none.
type Found<'py> = Bound<'py, PyAny>;

#[pymethods]
impl ZipDirectory {
    /// The directory of a zip file of `size` bytes, from parts of it by their offsets; the offset of bytes that are
    /// needed besides; or a text that says why there is none.
    #[staticmethod]
    fn of(py: Python<'_>, size: u64, parts: Vec<(u64, PyBackedBytes)>) -> PyResult<Bound<'_, PyAny>> {
        let found = py.detach(|| {
            let parts: Vec<(u64, &[u8])> = parts.iter().map(|(start, part)| (*start, &part[..])).collect();
            remote::directory(size, &parts)
        });
        match found {
            Ok(Directory::Read(index)) => Ok(Bound::new(py, ZipDirectory { index, len: size })?.into_any()),
            Ok(Directory::Missing(start)) => Ok(start.into_pyobject(py)?.into_any()),
            Err(error) => Ok(error.to_string().into_pyobject(py)?.into_any()),
        }
    }

    /// Number of members.
    fn __len__(&self) -> usize {
        self.index.members().len()
    }

    /// Names of the members, but for those that cannot be read.
    fn names(&self) -> Vec<String> {
        let members = self.index.members().iter();
        members
            .filter(|member| member.extent.is_ok())
            .map(|member| member.name.clone())
            .collect()
    }

    /// Size of a member's content; None where there is no such member.
    fn size(&self, name: &str) -> Option<u64> {
        self.index.find(name).map(|member| member.size)
    }

    /// The member that is a container holding what this name means, and the rest of the name; None where there is none.
    fn outer<'n>(&self, name: &'n str) -> Option<(String, &'n str)> {
        let (member, inner) = remote::outer_of(&self.index, name)?;
        Some((member.name.clone(), inner))
    }

    /// First and last offset of the bytes to ask for to unpack a member; or a text that says why it cannot be read.
    fn span<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Found<'py>> {
        match remote::span(self.member(name)?, self.len) {
            Ok(span) => Ok(span.into_pyobject(py)?.into_any()),
            Err(refusal) => Ok(refusal.to_string().into_pyobject(py)?.into_any()),
        }
    }

    /// The content of a member from its bytes; the number of bytes that are needed, where these are too few; or a text
    /// that says why it cannot be read.
    fn unpack<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        bytes: PyBackedBytes,
        max_slice_mb: u64,
    ) -> PyResult<Found<'py>> {
        let member = self.member(name)?;
        let options = read_options("any", max_slice_mb);
        match py.detach(|| remote::unpack(member, bytes.to_vec(), &options)) {
            Ok(Unpacked::Content(content)) => Ok(PyBytes::new(py, &content).into_any()),
            Ok(Unpacked::Missing(needed)) => Ok(needed.into_pyobject(py)?.into_any()),
            Err(refusal) => Ok(refusal.to_string().into_pyobject(py)?.into_any()),
        }
    }
}

impl ZipDirectory {
    fn member(&self, name: &str) -> PyResult<&Member> {
        self.index.find(name).ok_or_else(|| value_error("no such member"))
    }

    pub fn index(&self) -> &Index {
        &self.index
    }
}

/// Bytes that come one portion after the other, with room for some.
#[pyclass(frozen)]
pub struct Feed {
    inner: Arc<feed::Feed>,
}

#[pymethods]
impl Feed {
    #[new]
    fn new() -> Self {
        Self {
            inner: Arc::new(feed::Feed::default()),
        }
    }

    /// Give the next bytes; waits for room. False when nobody takes them.
    fn push(&self, py: Python<'_>, portion: PyBackedBytes) -> bool {
        py.detach(|| self.inner.push(portion.to_vec()))
    }

    /// All bytes were given.
    fn end(&self) {
        self.inner.end();
    }

    /// There will be no more, for this reason.
    fn fail(&self, reason: String) {
        self.inner.fail(reason);
    }

    /// Nobody is to take bytes from now on.
    fn close(&self) {
        self.inner.close();
    }

    /// Whether nobody takes bytes.
    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

impl Feed {
    pub fn inner(&self) -> Arc<feed::Feed> {
        Arc::clone(&self.inner)
    }
}

/// A container in memory, or in a file of its own that nobody else sees: any member can be read at any time.
#[pyclass(frozen)]
pub struct StoredContainer {
    inner: Arc<Container>,
}

#[pymethods]
impl StoredContainer {
    /// The container in these bytes; ValueError where they are none.
    #[staticmethod]
    fn of_bytes(py: Python<'_>, bytes: PyBackedBytes, name: &str) -> PyResult<Self> {
        let opened = py.detach(|| Container::of_memory(bytes.to_vec(), name));
        Ok(Self {
            inner: Arc::new(opened.map_err(|refusal| value_error(refusal.to_string()))?),
        })
    }

    /// Take what a feed gives of a container of `size` bytes into a new file, a tar file unpacked, of at most `most`
    /// bytes. Where the system can, the file's name is gone at once, and its room with this object.
    ///
    /// ValueError where it is no such container, OSError where the file cannot be written.
    #[staticmethod]
    fn of_feed(
        py: Python<'_>,
        path: PathBuf,
        feed: &Feed,
        size: u64,
        kind: &str,
        name: &str,
        most: u64,
    ) -> PyResult<Self> {
        let kind = match kind {
            "tar.gz" => Kind::TarGz,
            "tar.zst" => Kind::TarZst,
            _ => Kind::Tar,
        };
        let feed = feed.inner();
        py.detach(|| {
            let file = private_file(&path)?;
            let filled = remote::unpack_tar(Bytes::of_feed(Arc::clone(&feed), size), kind, &file, most);
            feed.close();
            filled?;
            let opened =
                Container::of_file(file, name).map_err(|refusal| value_error(refusal.to_string()))?;
            Ok(Self {
                inner: Arc::new(opened),
            })
        })
    }

    /// The content of the member with this name, or of one in a container in it; or a text that says why there is none.
    fn read<'py>(&self, py: Python<'py>, name: &str, max_slice_mb: u64) -> PyResult<Found<'py>> {
        let options = read_options("any", max_slice_mb);
        match py.detach(|| remote::read_by_name(&self.inner, name, &options)) {
            Ok(content) => Ok(PyBytes::new(py, &content).into_any()),
            Err(refusal) => Ok(refusal.to_string().into_pyobject(py)?.into_any()),
        }
    }

    /// Size of a member's content; None where there is no such member, or only a pass would tell.
    fn size(&self, name: &str) -> Option<u64> {
        Some(self.inner.index()?.find(name)?.size)
    }

    /// Names of the members, and of those of containers in it.
    fn names(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| names_of(&self.inner, &read_options("any", 512)))
    }
}

/// A new file that is this process's alone.
fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    std::fs::remove_file(path)?;
    Ok(file)
}
