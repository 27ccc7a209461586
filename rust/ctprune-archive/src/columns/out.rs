//! Rows to manifest columns.

use super::arrow::{Column, fixed, side_by_side, texts, wide};
use crate::archive::Archive;
use crate::table::{Row, Shape, State};
use std::ops::Range;

/// The columns of a batch, by name.
pub type Columns = Vec<(&'static str, Column)>;

/// Paths may be long, and a column's texts must stay below 2 GiB.
const MAX_PATH_BYTES: usize = 1 << 30;

/// One manifest row: a row of the table at its place in the final order.
struct Line<'a> {
    row: &'a Row,
    number: u32,
    shape: Shape,
    /// Place among the ordered slices; `None` for refusals, which stand behind them, and before there is an order.
    slice: Option<usize>,
}

/// The columns of these manifest rows or of as many of the first ones as fit into a batch, with their number.
pub fn manifest_columns(archive: &Archive, lines: Range<usize>) -> Result<(usize, Columns), String> {
    let slices = archive.volumes().order.len();
    let mut batch = Batch::new(archive);
    for line in lines {
        if !batch.add(archive.line_row(line), (line < slices).then_some(line)) {
            break;
        }
    }
    Ok((batch.lines.len(), batch.columns()?))
}

/// The same for rows of the table in the order of reading, before there are volumes and a selection: slices have the
/// status `read`. With their number goes the row of the table that the next batch begins with.
pub fn part_columns(archive: &Archive, rows: Range<usize>) -> Result<(usize, usize, Columns), String> {
    let mut batch = Batch::new(archive);
    let mut next = rows.start;
    for row in rows {
        let stale = archive.table().rows()[row].state == State::Stale;
        if !stale && !batch.add(row as u32, None) {
            break;
        }
        next = row + 1;
    }
    Ok((next, batch.lines.len(), batch.columns()?))
}

struct Batch<'a> {
    archive: &'a Archive,
    lines: Vec<Line<'a>>,
    path_bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            lines: Vec::new(),
            path_bytes: 0,
        }
    }

    /// Add a row of the table; `false` when it does not fit any more.
    fn add(&mut self, number: u32, slice: Option<usize>) -> bool {
        let row = &self.archive.table().rows()[number as usize];
        self.path_bytes += self.archive.files().path_bytes(row.file);
        if self.path_bytes > MAX_PATH_BYTES && !self.lines.is_empty() {
            return false;
        }
        self.lines.push(Line {
            row,
            number,
            shape: self.archive.table().shape(row),
            slice,
        });
        true
    }

    fn columns(&self) -> Result<Columns, String> {
        let mut columns = file_columns(self.archive, &self.lines)?;
        columns.extend(object_columns(self.archive, &self.lines)?);
        columns.extend(geometry_columns(&self.lines));
        columns.extend(selection_columns(self.archive, &self.lines)?);
        Ok(columns)
    }
}

fn file_columns(archive: &Archive, lines: &[Line<'_>]) -> Result<Columns, String> {
    let files = archive.files();
    let paths: Vec<String> = lines.iter().map(|line| files.relative(line.row.file)).collect();
    let sources: Vec<_> = lines
        .iter()
        .map(|line| {
            files
                .source_path(files.source_of(line.row.file))
                .to_string_lossy()
        })
        .collect();
    let stamps = || lines.iter().map(|line| files.stamp(line.row.file));
    Ok(vec![
        ("path", texts(paths.iter().map(String::as_str))?),
        ("source", texts(sources.iter().map(AsRef::as_ref))?),
        (
            "frame",
            fixed(
                lines
                    .iter()
                    .map(|line| Some((line.row.frame as i32).to_ne_bytes())),
            ),
        ),
        ("reader", texts(lines.iter().map(|line| line.row.reader.name()))?),
        (
            "file_size",
            fixed(stamps().map(|stamp| Some((stamp.size as i64).to_ne_bytes()))),
        ),
        (
            "file_mtime_ns",
            fixed(stamps().map(|stamp| Some(stamp.mtime_ns.to_ne_bytes()))),
        ),
    ])
}

fn object_columns(archive: &Archive, lines: &[Line<'_>]) -> Result<Columns, String> {
    let objects: Vec<_> = lines
        .iter()
        .map(|line| archive.table().object(line.row))
        .collect();
    let sops = lines
        .iter()
        .map(|line| archive.table().sop_instance_uid(line.number));
    Ok(vec![
        (
            "study_instance_uid",
            texts(objects.iter().map(|o| o.study_instance_uid.as_str()))?,
        ),
        (
            "series_instance_uid",
            texts(objects.iter().map(|o| o.series_instance_uid.as_str()))?,
        ),
        ("sop_instance_uid", texts(sops)?),
        ("modality", texts(objects.iter().map(|o| o.modality.as_str()))?),
        (
            "transfer_syntax_uid",
            texts(objects.iter().map(|o| o.transfer_syntax_uid.as_str()))?,
        ),
        (
            "manufacturer",
            texts(objects.iter().map(|o| o.manufacturer.as_str()))?,
        ),
        (
            "manufacturer_model_name",
            texts(objects.iter().map(|o| o.manufacturer_model_name.as_str()))?,
        ),
        (
            "convolution_kernel",
            texts(objects.iter().map(|o| o.convolution_kernel.as_str()))?,
        ),
        (
            "acquisition_number",
            fixed(
                lines
                    .iter()
                    .map(|l| l.row.acquisition_number().map(i32::to_ne_bytes)),
            ),
        ),
        (
            "instance_number",
            fixed(
                lines
                    .iter()
                    .map(|l| l.row.instance_number().map(i32::to_ne_bytes)),
            ),
        ),
    ])
}

fn geometry_columns(lines: &[Line<'_>]) -> Columns {
    let shapes = || lines.iter().map(|line| line.shape);
    let side = |size: u32| (size > 0).then(|| (size as i32).to_ne_bytes());
    vec![
        ("rows", fixed(shapes().map(|s| side(s.rows)))),
        ("columns", fixed(shapes().map(|s| side(s.columns)))),
        (
            "pixel_spacing_mm",
            fixed::<16>(shapes().map(|s| s.pixel_spacing_mm.map(side_by_side))),
        ),
        (
            "slice_thickness_mm",
            fixed(shapes().map(|s| s.slice_thickness_mm.map(f64::to_ne_bytes))),
        ),
        (
            "image_position_patient",
            fixed::<24>(lines.iter().map(|l| l.row.position().map(side_by_side))),
        ),
        (
            "image_orientation_patient",
            fixed::<48>(shapes().map(|s| s.image_orientation_patient.map(side_by_side))),
        ),
    ]
}

fn selection_columns(archive: &Archive, lines: &[Line<'_>]) -> Result<Columns, String> {
    let volumes = archive.volumes();
    let exemplar = |line: &Line<'_>| line.slice.and_then(|slice| archive.exemplar(slice));
    let status = |line: &Line<'_>| match (line.row.state, line.slice) {
        (State::Skipped, _) => "skipped",
        (State::Failed | State::Unsupported | State::Stale, _) => "failed",
        (State::Slice, Some(slice)) if archive.is_kept(slice) => "kept",
        (State::Slice, Some(_)) => "dropped",
        (State::Slice, None) => "read",
    };
    let is_slice = |line: &Line<'_>| line.row.state == State::Slice;
    let hu = |line: &Line<'_>, value: f32| is_slice(line).then(|| value.to_ne_bytes());
    let place = |line: &Line<'_>| {
        line.slice
            .map(|s| volumes.position_mm[s])
            .filter(|mm| !mm.is_nan())
    };
    let volume = |line: &Line<'_>| {
        line.slice
            .map(|s| volumes.starts.partition_point(|&start| start <= s) - 1)
    };
    let width = archive.fingerprint_bytes();
    Ok(vec![
        (
            "volume",
            fixed(lines.iter().map(|l| volume(l).map(|v| (v as i32).to_ne_bytes()))),
        ),
        (
            "slice_index",
            fixed(lines.iter().map(|l| {
                volume(l)
                    .zip(l.slice)
                    .map(|(v, s)| ((s - volumes.starts[v]) as i32).to_ne_bytes())
            })),
        ),
        (
            "position_mm",
            fixed(lines.iter().map(|l| place(l).map(f64::to_ne_bytes))),
        ),
        ("min_hu", fixed(lines.iter().map(|l| hu(l, l.row.min_hu)))),
        ("max_hu", fixed(lines.iter().map(|l| hu(l, l.row.max_hu)))),
        ("status", texts(lines.iter().map(status))?),
        (
            "reason",
            texts(lines.iter().map(|l| archive.table().reason(l.row)))?,
        ),
        (
            "fingerprint",
            wide(lines.iter(), width, |line, place| {
                let words = archive.table().fingerprint(line.number);
                let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                place.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                is_slice(line)
            }),
        ),
        (
            "exemplar",
            fixed(
                lines
                    .iter()
                    .map(|l| exemplar(l).map(|e| i64::from(e).to_ne_bytes())),
            ),
        ),
        (
            "similarity",
            fixed(
                lines
                    .iter()
                    .map(|l| l.slice.and_then(|s| archive.similarity(s)).map(f32::to_ne_bytes)),
            ),
        ),
    ])
}
