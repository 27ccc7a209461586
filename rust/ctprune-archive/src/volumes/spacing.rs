//! How the slices of a volume follow each other: what `reduce` counts and `check` describes.

use crate::volumes::geometry::dot;

/// Positions closer than this are the same, in mm.
const SAME_MM: f64 = 1e-3;

/// Lengths that differ by a smaller share are alike.
const ALIKE: f64 = 0.1;

/// A distance of so many usual ones lacks a slice.
const GAP: f64 = 1.5;

/// Directions further apart than this are different, in degrees.
const DEGREES: f64 = 1.0;

/// Steps of positions that files round to, in mm, and how far from a line, in steps, rounding puts slices at most.
const ROUNDED_TO: [f64; 2] = [0.1, 0.01];
const OFF_LINE: f64 = 1.2;

/// The distance of a slice from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The usual one, or what rounding makes of it.
    Usual,
    /// None: both are at the same position.
    Same,
    /// At least one and a half times the usual one, and not planned.
    Gap,
    /// More than a tenth off the usual one.
    Uneven,
}

/// Slices that lie beside the normal through others: the gantry was tilted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tilt {
    /// The angle of each step, in degrees; NaN where both slices are at the same position.
    pub degrees: Vec<f64>,
    /// Whether a step leads elsewhere than most.
    pub changed: Vec<bool>,
}

/// How the slices of a volume follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Spacing {
    /// The median distance of slices at different positions, in mm; NaN where there is none.
    pub usual_mm: f64,
    /// One for each slice but the first.
    pub steps: Vec<Step>,
    /// None where all slices lie on one normal.
    pub tilt: Option<Tilt>,
}

impl Spacing {
    /// Look at ordered slices: position along the normal, Image Position (Patient) and Slice Thickness, all in mm; a
    /// thickness that is not known is 0.
    pub fn of(along: &[f64], positions: &[[f64; 3]], thickness: &[f64], normal: [f64; 3]) -> Self {
        let mm: Vec<f64> = along.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut distances: Vec<f64> = mm.iter().copied().filter(|step| *step > SAME_MM).collect();
        distances.sort_by(f64::total_cmp);
        let Some(&usual_mm) = distances.get(distances.len() / 2) else {
            return Self {
                usual_mm: f64::NAN,
                steps: vec![Step::Same; mm.len()],
                tilt: None,
            };
        };
        let rounded_mm = rounded_mm(positions);
        // Along an oblique normal, the errors of all three coordinates add up.
        let off_mm = rounded_mm * normal.iter().map(|part| part.abs()).sum::<f64>();
        Self {
            usual_mm,
            steps: steps(&mm, thickness, usual_mm, off_mm),
            tilt: tilt(along, positions, normal, rounded_mm),
        }
    }

    /// Whether a step is of this kind.
    pub fn has(&self, kind: Step) -> bool {
        self.steps.contains(&kind)
    }
}

/// What is unusual about the geometry of a volume; all of it is tolerated and reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeometryFlags {
    /// Not every slice has a position: ordered by Instance Number and path.
    pub no_positions: bool,
    /// Two slices at the same position.
    pub duplicate_positions: bool,
    /// A gap of at least one and a half times the usual slice distance.
    pub missing_slices: bool,
    /// Slice distances that differ by more than a tenth of the usual one, gaps aside.
    pub variable_spacing: bool,
    /// Slices shifted within their plane against each other: the gantry was tilted.
    pub gantry_tilt: bool,
}

impl From<&Spacing> for GeometryFlags {
    fn from(spacing: &Spacing) -> Self {
        Self {
            no_positions: false,
            duplicate_positions: spacing.has(Step::Same),
            missing_slices: spacing.has(Step::Gap),
            variable_spacing: spacing.has(Step::Uneven),
            gantry_tilt: spacing.tilt.is_some(),
        }
    }
}

fn steps(mm: &[f64], thickness: &[f64], usual_mm: f64, off_mm: f64) -> Vec<Step> {
    let thousandth = |mm: f64| (mm * 1e3).round();
    // Where the thickness changes, a distance that equals it is planned, as 4 mm at the skull base, 7 mm above.
    let changes = thickness
        .windows(2)
        .any(|pair| thousandth(pair[0]) != thousandth(pair[1]));
    let planned = |at: usize| changes && mm[at] <= (1.0 + ALIKE) * thickness[at].max(thickness[at + 1]);
    let kind = |(at, &step): (usize, &f64)| {
        if step <= SAME_MM {
            Step::Same
        } else if step >= GAP * usual_mm && !planned(at) {
            Step::Gap
        } else if (step - usual_mm).abs() > ALIKE * usual_mm {
            Step::Uneven
        } else {
            Step::Usual
        }
    };
    let mut steps: Vec<Step> = mm.iter().enumerate().map(kind).collect();
    if steps.contains(&Step::Uneven) {
        // Without gaps: what rounding does to a step, the next ones undo.
        let mut places = vec![0.0];
        for (step, kind) in mm.iter().zip(&steps) {
            if matches!(kind, Step::Usual | Step::Uneven) {
                places.push(places[places.len() - 1] + step);
            }
        }
        let numbers: Vec<f64> = (0..places.len()).map(|number| number as f64).collect();
        if on_a_line(&places, &numbers, off_mm) {
            steps
                .iter_mut()
                .filter(|kind| **kind == Step::Uneven)
                .for_each(|kind| *kind = Step::Usual);
        }
    }
    steps
}

fn tilt(along: &[f64], positions: &[[f64; 3]], normal: [f64; 3], off_mm: f64) -> Option<Tilt> {
    // How far each step leads beside the normal, per mm along it.
    let across: Vec<Option<[f64; 3]>> = positions
        .windows(2)
        .zip(along.windows(2))
        .map(|(pair, mm)| {
            let shift = [0, 1, 2].map(|axis| pair[1][axis] - pair[0][axis]);
            let (step, along) = (mm[1] - mm[0], dot(shift, normal));
            (step > SAME_MM).then(|| [0, 1, 2].map(|axis| (shift[axis] - along * normal[axis]) / step))
        })
        .collect();
    let degrees: Vec<f64> = across
        .iter()
        .map(|across| across.map_or(f64::NAN, angle))
        .collect();
    if !degrees.iter().any(|&degrees| degrees > DEGREES) {
        return None;
    }
    let aside = [0, 1, 2].map(|axis| -> Vec<f64> {
        let beside = |position: &[f64; 3]| position[axis] - dot(*position, normal) * normal[axis];
        positions.iter().map(beside).collect()
    });
    if aside.iter().all(|aside| span(aside.iter().copied()) <= off_mm) {
        return None;
    }
    let usual = [0, 1, 2].map(|axis| median(across.iter().flatten().map(|across| across[axis]).collect()));
    let apart = |across: [f64; 3]| angle([0, 1, 2].map(|axis| across[axis] - usual[axis]));
    let turned = |across: &Option<[f64; 3]>| across.is_some_and(|across| apart(across) > DEGREES);
    let even = aside.iter().all(|aside| on_a_line(aside, along, off_mm));
    Some(Tilt {
        changed: across.iter().map(|across| !even && turned(across)).collect(),
        degrees,
    })
}

/// The angle of a shift per mm, in degrees.
fn angle(across: [f64; 3]) -> f64 {
    dot(across, across).sqrt().atan().to_degrees()
}

/// The middle one, or the mean of both; there is one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        f64::midpoint(values[half - 1], values[half])
    }
}

/// How far rounding puts slices from a line at most, in mm; 0 where positions are not rounded.
fn rounded_mm(positions: &[[f64; 3]]) -> f64 {
    let rounds_to = |unit: &&f64| {
        let mut values = positions.iter().flatten().map(|value| value / **unit);
        values.all(|value| (value - value.round()).abs() < 1e-3)
    };
    ROUNDED_TO
        .iter()
        .find(rounds_to)
        .map_or(0.0, |unit| unit * OFF_LINE)
}

/// Whether values change evenly along positions but for so much.
fn on_a_line(values: &[f64], along: &[f64], within: f64) -> bool {
    let mean = along.iter().sum::<f64>() / along.len() as f64;
    let centered = || along.iter().map(|x| x - mean);
    let square: f64 = centered().map(|x| x * x).sum();
    let slope = centered().zip(values).map(|(x, value)| x * value).sum::<f64>() / square;
    span(centered().zip(values).map(|(x, value)| value - slope * x)) <= within
}

/// The largest value less the smallest.
fn span(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    high - low
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: [f64; 3] = [0.0, 0.0, 1.0];

    fn spacing(z: &[f64], shear: f64) -> Spacing {
        let positions: Vec<[f64; 3]> = z.iter().map(|&z| [0.0, shear * z, z]).collect();
        Spacing::of(z, &positions, &vec![0.0; z.len()], UP)
    }

    #[test]
    fn a_distance_that_equals_a_new_thickness_misses_nothing() {
        let z = [0.0, 4.0, 8.0, 12.0, 19.0, 26.0];
        let positions = z.map(|z| [0.0, 0.0, z]);
        let of = |thickness: [f64; 6]| Spacing::of(&z, &positions, &thickness, UP);
        let found = of([4.0, 4.0, 4.0, 4.0, 7.0, 7.0]);
        assert!(found.has(Step::Uneven) && !found.has(Step::Gap));
        assert!(of([4.0, 4.0, 4.0, 4.0, 5.0, 5.0]).has(Step::Gap));
        assert!(of([7.0; 6]).has(Step::Gap));
    }

    #[test]
    fn rounded_positions_are_even() {
        let rounded = |step: f64| -> Vec<f64> {
            (0..12)
                .map(|n| (f64::from(n) * step * 10.0).round() / 10.0)
                .collect()
        };
        assert_eq!(spacing(&rounded(0.75), 0.0).steps, [Step::Usual; 11]);
        // Errors that add up are none of rounding, and neither is what is given more exactly.
        assert!(spacing(&[0.0, 0.7, 1.4, 2.1, 3.1, 4.1, 5.1], 0.0).has(Step::Uneven));
        assert!(spacing(&[0.0, 0.8323, 1.5, 2.3323, 3.0], 0.0).has(Step::Uneven));
        let tilt = |shift: f64| {
            let positions: Vec<[f64; 3]> = (0..12)
                .map(|n| [0.0, if n % 3 == 1 { shift } else { 0.0 }, 0.7 * f64::from(n)])
                .collect();
            let along: Vec<f64> = positions.iter().map(|position| position[2]).collect();
            Spacing::of(&along, &positions, &[0.0; 12], UP).tilt
        };
        assert!(tilt(0.1).is_none() && tilt(0.2).is_some());
    }

    #[test]
    fn each_kind_of_step_is_seen() {
        assert_eq!(spacing(&[], 0.0).steps, []);
        assert!(spacing(&[5.0], 0.0).usual_mm.is_nan());
        assert_eq!(spacing(&[1.0, 1.0], 0.0).steps, [Step::Same]);
        assert_eq!(spacing(&[0.0, 1.0, 2.0, 3.0], 0.0).steps, [Step::Usual; 3]);
        let steps = [
            Step::Usual,
            Step::Same,
            Step::Usual,
            Step::Gap,
            Step::Uneven,
            Step::Usual,
        ];
        assert_eq!(spacing(&[0.0, 1.0, 1.0, 2.0, 4.0, 5.2, 6.2], 0.0).steps, steps);
    }

    #[test]
    fn a_tilt_has_an_angle_and_may_change() {
        assert_eq!(spacing(&[0.0, 1.0, 2.0], 0.001).tilt, None);
        let even = spacing(&[0.0, 1.0, 1.0, 2.0], 1.0).tilt.unwrap();
        assert!((even.degrees[0] - 45.0).abs() < 1e-9 && even.degrees[1].is_nan());
        assert_eq!(even.changed, [false; 3]);
        let z = [0.0, 1.0, 2.0, 3.0, 4.0];
        let positions = [0.0, 0.0, 0.0, 0.0, 1.0].map(|y| [0.0, y, 0.0]);
        let positions: Vec<[f64; 3]> = positions.iter().zip(z).map(|(at, z)| [0.0, at[1], z]).collect();
        let changing = Spacing::of(&z, &positions, &[0.0; 5], UP).tilt.unwrap();
        assert_eq!(changing.changed, [false, false, false, true]);
    }
}
