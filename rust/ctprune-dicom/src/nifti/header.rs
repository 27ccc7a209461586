//! What a slice needs of a NIfTI header.

use std::io::{ErrorKind, Read};

use super::fields::{Fields, V1_BYTES, V2_BYTES, version};
use super::geometry::Geometry;
use crate::code::Code;
use crate::error::{ReadError, unexpected};
use crate::samples::SampleType;
use crate::slice::Refusal;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) big_endian: bool,
    pub(super) columns: u64,
    pub(super) rows: u64,
    pub(super) slices: u64,
    pub(super) volumes: u64,
    pub(super) sample: SampleType,
    pub(super) slope: f64,
    pub(super) intercept: f64,
    /// Bytes of the header.
    size: u64,
    /// Bytes between the header and the data.
    pub(super) gap: u64,
    pub(super) geometry: Geometry,
}

impl Header {
    pub(super) fn read(source: &mut impl Read) -> Result<Header, Refusal> {
        let mut bytes = [0; V2_BYTES];
        read_header(source, &mut bytes[..V1_BYTES])?;
        let version = version(&bytes[..V1_BYTES])
            .ok_or_else(|| unexpected("the first bytes", "a NIfTI header of 348 or 540 bytes", "others"))?;
        if version.two {
            read_header(source, &mut bytes[V1_BYTES..])?;
        }
        if version.pair {
            return Err(Refusal::skipped(
                Code::NiftiPair,
                "NIfTI header of an .hdr/.img pair",
            ));
        }
        Header::parse(&Fields {
            bytes: &bytes,
            version,
        })
    }

    /// Bytes before the data.
    pub(super) fn data_start(&self) -> u64 {
        self.size + self.gap
    }

    fn parse(fields: &Fields<'_>) -> Result<Header, Refusal> {
        let [columns, rows, slices, volumes] = dimensions(fields)?;
        let (slope, intercept) = fields.scaling();
        Ok(Header {
            big_endian: fields.version.big_endian,
            columns,
            rows,
            slices,
            volumes,
            sample: sample_type(fields.by_version(Fields::i16, 70, 12))?,
            slope,
            intercept,
            size: fields.size(),
            gap: fields.gap()?,
            geometry: Geometry::of(fields),
        })
    }
}

fn read_header(source: &mut impl Read, bytes: &mut [u8]) -> Result<(), ReadError> {
    source.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ReadError::Truncated("the header of the NIfTI file"),
        _ => ReadError::io("the NIfTI header cannot be read", &error),
    })
}

/// Columns, rows, slices, volumes.
fn dimensions(fields: &Fields<'_>) -> Result<[u64; 4], Refusal> {
    let count = fields.dimension(0);
    if !(2..=7).contains(&count) {
        return Err(unexpected("the NIfTI dimensions", "2 to 4", count).into());
    }
    let mut sizes = [1; 4];
    for axis in 1..=count {
        let size = fields.dimension(axis as usize);
        if axis <= 4 {
            sizes[axis as usize - 1] = u64::try_from(size)
                .ok()
                .filter(|&size| size > 0)
                .ok_or_else(|| unexpected(format!("NIfTI dimension {axis}"), "a positive number", size))?;
        } else if size > 1 {
            return Err(Refusal::skipped(
                Code::Dimensions,
                "NIfTI of more than four dimensions",
            ));
        }
    }
    Ok(sizes)
}

fn sample_type(datatype: i16) -> Result<SampleType, ReadError> {
    let unsupported = match datatype {
        2 => return Ok(SampleType::U8),
        256 => return Ok(SampleType::I8),
        512 => return Ok(SampleType::U16),
        4 => return Ok(SampleType::I16),
        768 => return Ok(SampleType::U32),
        8 => return Ok(SampleType::I32),
        16 => return Ok(SampleType::F32),
        64 => return Ok(SampleType::F64),
        1 => "1-bit values",
        32 | 1792 | 2048 => "complex numbers",
        128 | 2304 => "colors",
        1024 | 1280 => "64-bit integers",
        1536 => "128-bit floating-point numbers",
        _ => "unknown values",
    };
    Err(ReadError::Unsupported(
        format!("NIfTI of {unsupported} (datatype {datatype})").into(),
    ))
}
