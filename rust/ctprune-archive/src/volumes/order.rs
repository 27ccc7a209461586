//! The slices of one volume in order: along their normal, or by path.

use crate::discover::files::Files;
use crate::discover::natural;
use crate::rows::row::Reader;
use crate::rows::table::Table;
use crate::volumes::geometry;
use crate::volumes::spacing::{GeometryFlags, Spacing};
use std::cmp::Ordering;

/// How slices are put in order within their volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Along the volume's mean normal.
    Position,
    /// By path as text.
    Path,
}

/// One volume: its rows in order, and their positions.
pub(super) struct Volume {
    pub rows: Vec<u32>,
    pub position_mm: Vec<f64>,
    pub geometry_flags: GeometryFlags,
    pub source: u32,
    /// The first path, with its frame and source: no other volume has the same.
    pub first: (String, (u32, u32)),
}

/// Put the slices of one volume in order.
pub(super) fn arrange(table: &Table, files: &Files, order: Order, mut rows: Vec<u32>) -> Volume {
    let row = |number: u32| &table.rows()[number as usize];
    let path = |number: u32| files.relative(row(number).file);
    // Sources may hold copies of one series: nothing may depend on which of them was read first.
    let frame = |number: u32| (row(number).frame, files.source_of(row(number).file));
    let normal = mean_normal(table, &rows);
    let position_mm = |number: u32| -> f64 {
        match (normal, row(number).position()) {
            (Some(normal), Some(position)) => geometry::dot(normal, position),
            _ => f64::NAN,
        }
    };
    let has_positions = rows.iter().all(|&number| !position_mm(number).is_nan());
    match order {
        Order::Path => rows.sort_by_cached_key(|&number| (path(number), frame(number))),
        Order::Position => rows.sort_by(|&a, &b| {
            let along = if has_positions {
                micrometres(position_mm(a)).cmp(&micrometres(position_mm(b)))
            } else {
                Ordering::Equal
            };
            let acquisition = |n| {
                if has_positions {
                    last_if_missing(row(n).acquisition_number())
                } else {
                    0
                }
            };
            along
                .then_with(|| acquisition(a).cmp(&acquisition(b)))
                .then_with(|| {
                    let instance = |n| last_if_missing(row(n).instance_number());
                    instance(a).cmp(&instance(b))
                })
                .then_with(|| natural::compare(&path(a), &path(b)))
                .then_with(|| frame(a).cmp(&frame(b)))
        }),
    }
    let position_mm: Vec<f64> = if has_positions {
        rows.iter().map(|&number| position_mm(number)).collect()
    } else {
        vec![f64::NAN; rows.len()]
    };
    let first = rows
        .iter()
        .map(|&n| (path(n), frame(n)))
        .min_by(|a, b| compare_paths(order, &a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
    Volume {
        geometry_flags: flags_of(table, &rows, &position_mm, normal.filter(|_| has_positions)),
        position_mm,
        source: files.source_of(row(rows[0]).file),
        first: first.unwrap_or_default(),
        rows,
    }
}

/// Compare paths: in natural order, or as text.
pub(super) fn compare_paths(order: Order, a: &str, b: &str) -> Ordering {
    match order {
        Order::Position => natural::compare(a, b),
        Order::Path => a.cmp(b),
    }
}

/// Positions are compared in whole micrometres: sums of rounded cosines differ in their last digits.
fn micrometres(mm: f64) -> i64 {
    (mm * 1e3).round() as i64
}

fn last_if_missing(number: Option<i32>) -> i64 {
    number.map_or(i64::MAX, i64::from)
}

/// Mean of the slices' unit normals; the largest of them if they cancel out. They are added in the order of their values:
/// rows come in another order where several processes have read them, and a sum of floats depends on it.
fn mean_normal(table: &Table, rows: &[u32]) -> Option<[f64; 3]> {
    let normal = |&number: &u32| {
        let shape = table.shape(&table.rows()[number as usize]);
        shape.image_orientation_patient.and_then(geometry::normal)
    };
    let mut normals = rows.iter().map(normal).collect::<Option<Vec<[f64; 3]>>>()?;
    normals.sort_unstable_by(|a, b| {
        let axes = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
        axes.fold(Ordering::Equal, Ordering::then)
    });
    let mut sum = [0.0; 3];
    for normal in &normals {
        for axis in 0..3 {
            sum[axis] += normal[axis];
        }
    }
    geometry::unit(sum).or(normals.last().copied())
}

fn flags_of(table: &Table, rows: &[u32], position_mm: &[f64], normal: Option<[f64; 3]>) -> GeometryFlags {
    let Some(normal) = normal else {
        // Pictures have no positions: nothing unusual about that.
        let dicom = matches!(
            table.rows()[rows[0] as usize].reader,
            Reader::Dicom | Reader::Pydicom
        );
        return GeometryFlags {
            no_positions: dicom,
            ..GeometryFlags::default()
        };
    };
    let mut slices: Vec<(f64, [f64; 3], f64)> = rows
        .iter()
        .zip(position_mm)
        .filter_map(|(&n, &mm)| {
            let row = &table.rows()[n as usize];
            Some((
                mm,
                row.position()?,
                table.shape(row).slice_thickness_mm.unwrap_or(0.0),
            ))
        })
        .collect();
    // By path they may stand in any order; what is unusual does not depend on that.
    slices.sort_by(|a, b| a.0.total_cmp(&b.0));
    let along: Vec<f64> = slices.iter().map(|slice| slice.0).collect();
    let positions: Vec<[f64; 3]> = slices.iter().map(|slice| slice.1).collect();
    let thickness: Vec<f64> = slices.iter().map(|slice| slice.2).collect();
    GeometryFlags::from(&Spacing::of(&along, &positions, &thickness, normal))
}
