//! Lossless JPEG (annex H): differences to a prediction from the neighbors.

use super::super::bits::{BitReader, Interval};
use super::Sample;
use super::huffman::Table;
use super::segments::Segments;
use crate::error::{ReadError, unexpected};

/// Decodes the scan into `target`, which has `rows × columns` samples.
pub(crate) fn decode<T: Sample>(segments: &Segments<'_>, target: &mut [T]) -> Result<(), ReadError> {
    let &Segments {
        columns,
        restart_interval,
        predictor,
        precision,
        point_transform,
        ..
    } = segments;
    let table = segments
        .dc
        .as_ref()
        .ok_or(ReadError::Missing("the Huffman table of the lossless JPEG scan"))?;
    if point_transform >= precision {
        let expected = format!("less than {precision}");
        return Err(unexpected(
            "the point transform of the JPEG scan",
            expected,
            point_transform,
        ));
    }
    // H.1.1: restarts are at the ends of rows.
    let rows_per_interval = match restart_interval {
        0 => segments.rows,
        n if n % columns == 0 => n / columns,
        n => {
            let expected = format!("a multiple of {columns} columns");
            return Err(unexpected("the JPEG restart interval", expected, n));
        }
    };
    let mut coded = segments.coded;
    let mut interval = Interval::with_capacity(if restart_interval == 0 { coded.len() } else { 0 });
    for rows in target.chunks_mut(rows_per_interval * columns) {
        coded = interval.read(skip_restart(coded));
        let mut reader = interval.reader();
        let start = 1 << (precision - point_transform - 1);
        decode_interval(rows, columns, start, predictor, table, &mut reader)?;
    }
    if point_transform > 0 {
        target
            .iter_mut()
            .for_each(|sample| *sample = T::low_bits(sample.value() << point_transform));
    }
    Ok(())
}

/// Steps over a restart marker.
pub(crate) fn skip_restart(coded: &[u8]) -> &[u8] {
    match coded {
        [0xFF, 0xD0..=0xD7, rest @ ..] => rest,
        other => other,
    }
}

/// Decodes the rows between two restarts. H.1.2.1: the first sample is predicted by `start`, the rest of its
/// row by the left neighbor, the first sample of each further row by the one above.
fn decode_interval<T: Sample>(
    rows: &mut [T],
    columns: usize,
    start: u32,
    predictor: u8,
    table: &Table,
    reader: &mut BitReader<'_>,
) -> Result<(), ReadError> {
    let (first, others) = rows.split_at_mut(columns);
    decode_row(first, &[], start, |left, _, _| left, table, reader)?;
    let mut above: &[T] = first;
    for row in others.chunks_exact_mut(columns) {
        let start = above[0].value();
        // Table H.1; `a` is left, `b` above, `c` above left. One instance of the loop for each.
        match predictor {
            1 => decode_row(row, above, start, |a, _, _| a, table, reader)?,
            2 => decode_row(row, above, start, |_, b, _| b, table, reader)?,
            3 => decode_row(row, above, start, |_, _, c| c, table, reader)?,
            4 => decode_row(
                row,
                above,
                start,
                |a, b, c| a.wrapping_add(b).wrapping_sub(c),
                table,
                reader,
            )?,
            5 => decode_row(
                row,
                above,
                start,
                |a, b, c| a.wrapping_add(half(b, c)),
                table,
                reader,
            )?,
            6 => decode_row(
                row,
                above,
                start,
                |a, b, c| b.wrapping_add(half(a, c)),
                table,
                reader,
            )?,
            7 => decode_row(row, above, start, |a, b, _| (a + b) / 2, table, reader)?,
            other => return Err(unexpected("the JPEG predictor", "1 to 7", other)),
        }
        above = row;
    }
    Ok(())
}

/// Half the difference, rounded down.
fn half(b: u32, c: u32) -> u32 {
    ((b as i32 - c as i32) >> 1) as u32
}

#[inline(always)]
fn decode_row<T: Sample>(
    row: &mut [T],
    above: &[T],
    start: u32,
    predict: impl Fn(u32, u32, u32) -> u32,
    table: &Table,
    reader: &mut BitReader<'_>,
) -> Result<(), ReadError> {
    let broken = || ReadError::Invalid("the lossless JPEG data holds a code that its table lacks");
    let (mut left, mut above_left) = (start, start);
    let mut prediction = start;
    for (n, sample) in row.iter_mut().enumerate() {
        let over = above.get(n).map_or(0, |s| s.value());
        if n > 0 {
            prediction = predict(left, over, above_left);
        }
        reader.refill();
        let difference = table.number(reader).ok_or_else(broken)?;
        // H.1.2.1: the sum is taken modulo 65536.
        left = prediction.wrapping_add(difference as u32) & 0xFFFF;
        *sample = T::low_bits(left);
        above_left = over;
    }
    if reader.is_exhausted() {
        return Err(ReadError::Truncated("the lossless JPEG data"));
    }
    Ok(())
}
