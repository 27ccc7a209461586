//! Rows to manifest columns.

use super::arrow::{Column, fixed, side_by_side, texts, wide};
use crate::archive::Archive;
use crate::table::{Row, Shape, State};
use std::ops::Range;

/// One manifest row: a row of the table at its place in the final order.
struct Line<'a> {
    row: &'a Row,
    number: u32,
    shape: Shape,
    /// Place among the ordered slices; `None` for refusals, which stand behind them.
    slice: Option<usize>,
}

/// The columns of these manifest rows, by name.
pub fn manifest_columns(archive: &Archive, lines: Range<usize>) -> Vec<(&'static str, Column)> {
    let lines: Vec<Line<'_>> = lines.map(|line| line_at(archive, line)).collect();
    let mut columns = file_columns(archive, &lines);
    columns.extend(object_columns(archive, &lines));
    columns.extend(geometry_columns(&lines));
    columns.extend(selection_columns(archive, &lines));
    columns
}

fn line_at(archive: &Archive, line: usize) -> Line<'_> {
    let slices = archive.volumes().order.len();
    let number = archive.line_row(line);
    let row = &archive.table().rows()[number as usize];
    Line {
        row,
        number,
        shape: archive.table().shape(row),
        slice: (line < slices).then_some(line),
    }
}

fn file_columns(archive: &Archive, lines: &[Line<'_>]) -> Vec<(&'static str, Column)> {
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
    vec![
        ("path", texts(paths.iter().map(String::as_str))),
        ("source", texts(sources.iter().map(AsRef::as_ref))),
        (
            "frame",
            fixed(
                lines
                    .iter()
                    .map(|line| Some((line.row.frame as i32).to_ne_bytes())),
            ),
        ),
        ("reader", texts(lines.iter().map(|line| line.row.reader.name()))),
        (
            "file_size",
            fixed(stamps().map(|stamp| Some((stamp.size as i64).to_ne_bytes()))),
        ),
        (
            "file_mtime_ns",
            fixed(stamps().map(|stamp| Some(stamp.mtime_ns.to_ne_bytes()))),
        ),
    ]
}

fn object_columns(archive: &Archive, lines: &[Line<'_>]) -> Vec<(&'static str, Column)> {
    let objects: Vec<_> = lines
        .iter()
        .map(|line| archive.table().object(line.row))
        .collect();
    let sops = lines
        .iter()
        .map(|line| archive.table().sop_instance_uid(line.number));
    vec![
        (
            "study_instance_uid",
            texts(objects.iter().map(|o| o.study_instance_uid.as_str())),
        ),
        (
            "series_instance_uid",
            texts(objects.iter().map(|o| o.series_instance_uid.as_str())),
        ),
        ("sop_instance_uid", texts(sops)),
        ("modality", texts(objects.iter().map(|o| o.modality.as_str()))),
        (
            "transfer_syntax_uid",
            texts(objects.iter().map(|o| o.transfer_syntax_uid.as_str())),
        ),
        (
            "manufacturer",
            texts(objects.iter().map(|o| o.manufacturer.as_str())),
        ),
        (
            "manufacturer_model_name",
            texts(objects.iter().map(|o| o.manufacturer_model_name.as_str())),
        ),
        (
            "convolution_kernel",
            texts(objects.iter().map(|o| o.convolution_kernel.as_str())),
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
    ]
}

fn geometry_columns(lines: &[Line<'_>]) -> Vec<(&'static str, Column)> {
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

fn selection_columns(archive: &Archive, lines: &[Line<'_>]) -> Vec<(&'static str, Column)> {
    let volumes = archive.volumes();
    let exemplar = |line: &Line<'_>| line.slice.and_then(|slice| archive.exemplar(slice));
    let status = |line: &Line<'_>| match (line.row.state, line.slice) {
        (State::Skipped, _) => "skipped",
        (State::Failed, _) => "failed",
        (_, Some(slice)) if archive.is_kept(slice) => "kept",
        _ => "dropped",
    };
    let hu = |line: &Line<'_>, value: f32| line.slice.map(|_| value.to_ne_bytes());
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
    vec![
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
        ("status", texts(lines.iter().map(status))),
        (
            "reason",
            texts(lines.iter().map(|l| archive.table().reason(l.row))),
        ),
        (
            "fingerprint",
            wide(lines.iter(), width, |line, place| {
                let words = archive.table().fingerprint(line.number);
                let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                place.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                line.slice.is_some()
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
    ]
}
