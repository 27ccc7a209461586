//! Shares against the obvious way of counting.

use super::*;

/// The obvious way: every value on its own.
fn naive(values: &[f64], slope: f64, intercept: f64) -> [u64; SHARES] {
    let hu: Vec<f64> = values.iter().map(|value| value * slope + intercept).collect();
    let (low, high) = hu.iter().fold((f64::MAX, f64::MIN), |(low, high), &hu| {
        (low.min(hu), high.max(hu))
    });
    let mut counts = [0; SHARES];
    for &hu in &hu {
        counts[EDGES_HU.iter().filter(|&&edge| hu >= edge).count()] += 1;
        counts[SHARES - 2] += u64::from(hu == low);
        counts[SHARES - 1] += u64::from(hu == high);
    }
    counts
}

fn range(values: &[f64], slope: f64, intercept: f64) -> HuRange {
    let hu = values.iter().map(|value| value * slope + intercept);
    HuRange {
        min_hu: hu.clone().fold(f64::MAX, f64::min),
        max_hu: hu.fold(f64::MIN, f64::max),
    }
}

/// All pixels are looked at, and the last ones are no whole segment.
const ROWS_HERE: usize = 200;
const COLUMNS_HERE: usize = 91;

#[test]
fn counts_are_those_of_the_obvious_way_on_every_processor() {
    let values: Vec<u16> = (0..3000u32).map(|value| (value * 7919 % 65536) as u16).collect();
    for cpu in Cpu::available() {
        for edges in [
            [0, 1, 2, 65_534, 65_535],
            [30_000, 30_001, 40_000, 50_000, 65_535],
        ] {
            for every in [1, 2, 3, 31, 93, 94] {
                let found = at_least(cpu, &values, every, edges);
                let looked_at = || {
                    (0..)
                        .zip(&values)
                        .filter(|&(at, _)| (at / SEGMENT).is_multiple_of(every))
                };
                let naive = edges.map(|edge| looked_at().filter(|&(_, &value)| value >= edge).count() as u64);
                assert_eq!(found, naive, "{cpu:?} {every}");
            }
        }
    }
}

#[test]
fn what_is_looked_at_is_enough_and_on_all_columns() {
    for (rows, columns) in [
        (64, 64),
        (256, 256),
        (300, 500),
        (512, 512),
        (512, 768),
        (1000, 33),
        (2048, 3072),
    ] {
        let stored = vec![0u8; rows * columns];
        let slice = SlicePixels {
            extremes: None,
            rows,
            columns,
            stored: Stored::U8(&stored),
            scale: Scale::Gray8,
        };
        let every = every(&slice);
        let mut is_seen = vec![false; columns];
        let mut pixels = 0;
        for at in (0..stored.len()).filter(|at| (at / SEGMENT).is_multiple_of(every)) {
            is_seen[at % columns] = true;
            pixels += 1;
        }
        let enough = (SEGMENT * SEGMENTS / 2).min(stored.len());
        assert!(
            (enough..2 * SEGMENT * SEGMENTS).contains(&pixels),
            "{rows} × {columns}: {pixels}"
        );
        assert!(is_seen.into_iter().all(|seen| seen), "{rows} × {columns}");
    }
}

#[test]
fn shares_are_those_of_the_obvious_way() {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16
    };
    for (slope, intercept) in [
        (1.0, -1024.0),
        (1.0, 0.0),
        (-1.0, 50.0),
        (0.37, -999.5),
        (2.5, -8192.0),
    ] {
        let stored: Vec<i16> = (0..ROWS_HERE * COLUMNS_HERE).map(|_| random() / 8).collect();
        let values: Vec<f64> = stored.iter().map(|&value| value.into()).collect();
        let unsigned: Vec<u16> = stored.iter().map(|&value| value as u16 / 8).collect();
        let unsigned_values: Vec<f64> = unsigned.iter().map(|&value| value.into()).collect();
        let wide: Vec<i32> = stored.iter().map(|&value| value.into()).collect();
        let constant = vec![1000i16; stored.len()];
        let constant_values = vec![1000.0; stored.len()];
        for (stored, values) in [
            (Stored::I16(&stored), &values),
            (Stored::I32(&wide), &values),
            (Stored::F64(&values), &values),
            (Stored::U16(&unsigned), &unsigned_values),
            (Stored::I16(&constant), &constant_values),
        ] {
            let slice = SlicePixels {
                extremes: None,
                rows: ROWS_HERE,
                columns: COLUMNS_HERE,
                stored,
                scale: Scale::Hounsfield { slope, intercept },
            };
            let found = Shares::of(&slice, range(values, slope, intercept)).unwrap();
            for (share, count) in found.fractions().into_iter().zip(naive(values, slope, intercept)) {
                let expected = count as f64 / values.len() as f64;
                assert!((share - expected).abs() <= 1.0 / 65535.0, "{share} {expected}");
                assert_eq!(share > 0.0, count > 0);
            }
            assert_eq!(Shares::stored(found.fractions()), Some(found));
        }
    }
}

#[test]
fn a_picture_has_none() {
    let slice = SlicePixels {
        extremes: None,
        rows: 1,
        columns: 2,
        stored: Stored::U8(&[0, 255]),
        scale: Scale::Gray8,
    };
    let range = HuRange {
        min_hu: 0.0,
        max_hu: 255.0,
    };
    assert_eq!(Shares::of(&slice, range), None);
    assert_eq!(Shares::stored([0.0; SHARES]), None);
}
