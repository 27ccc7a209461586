//! Geometry of slices and volumes, from Image Orientation (Patient) and Image Position (Patient).

/// Anatomical plane of a slice, by the largest component of its normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Normal mostly left–right.
    Sagittal,
    /// Normal mostly front–back.
    Coronal,
    /// Normal mostly head–foot.
    Axial,
    /// No orientation given.
    Unknown,
}

impl Plane {
    /// Plane of an orientation; unknown when there is none or it is degenerate.
    pub fn of(orientation: Option<[f64; 6]>) -> Self {
        let Some(normal) = orientation.and_then(normal) else {
            return Plane::Unknown;
        };
        let [x, y, z] = normal.map(f64::abs);
        // Ties go to the later axis: an exactly oblique slice counts as axial rather than sagittal.
        if z >= x && z >= y {
            Plane::Axial
        } else if y >= x {
            Plane::Coronal
        } else {
            Plane::Sagittal
        }
    }
}

/// Unit normal of a slice: row direction × column direction.
pub fn normal(orientation: [f64; 6]) -> Option<[f64; 3]> {
    let [a, b, c, d, e, f] = orientation;
    unit([b * f - c * e, c * d - a * f, a * e - b * d])
}

/// The vector with length 1, if it has a direction.
pub fn unit(vector: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(vector, vector).sqrt();
    (length.is_finite() && length > 1e-6).then(|| vector.map(|x| x / length))
}

/// Scalar product.
pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
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

/// Positions closer than this are the same, in mm.
const SAME_MM: f64 = 1e-3;

/// Lengths that differ by a smaller share are alike.
const ALIKE: f64 = 0.1;

/// Steps of positions that files round to, in mm, and how far from a line, in steps, rounding puts slices at most.
const ROUNDED_TO: [f64; 2] = [0.1, 0.01];
const OFF_LINE: f64 = 1.2;

impl GeometryFlags {
    /// Look at ordered slices: position along the normal, Image Position (Patient) and Slice Thickness, all in mm; a
    /// thickness that is not known is 0. `ctprune check` finds the same.
    pub fn of(along: &[f64], positions: &[[f64; 3]], thickness: &[f64], normal: [f64; 3]) -> Self {
        let steps: Vec<f64> = along.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut distances: Vec<f64> = steps.iter().copied().filter(|step| *step > SAME_MM).collect();
        distances.sort_by(f64::total_cmp);
        let Some(&usual) = distances.get(distances.len() / 2) else {
            return Self {
                duplicate_positions: !steps.is_empty(),
                ..Self::default()
            };
        };
        // Where the thickness changes, a distance that equals it is planned, as 4 mm at the skull base, 7 mm above.
        let changes = thickness
            .windows(2)
            .any(|pair| thousandth(pair[0]) != thousandth(pair[1]));
        let planned =
            |at: usize| changes && steps[at] <= (1.0 + ALIKE) * thickness[at].max(thickness[at + 1]);
        let (gaps, within): (Vec<usize>, Vec<usize>) = (0..steps.len())
            .filter(|&at| steps[at] > SAME_MM)
            .partition(|&at| steps[at] >= 1.5 * usual && !planned(at));
        let within: Vec<f64> = within.into_iter().map(|at| steps[at]).collect();
        let rounded = rounded_mm(positions);
        Self {
            no_positions: false,
            duplicate_positions: distances.len() < steps.len(),
            missing_slices: !gaps.is_empty(),
            variable_spacing: within.iter().any(|step| (step - usual).abs() > ALIKE * usual)
                // Along an oblique normal, the errors of all three coordinates add up.
                && !evenly(&within, rounded * normal.iter().map(|part| part.abs()).sum::<f64>()),
            gantry_tilt: positions.windows(2).any(|pair| tilted(pair[0], pair[1], normal))
                && !on_the_normal(positions, normal, rounded),
        }
    }
}

fn thousandth(mm: f64) -> f64 {
    (mm * 1e3).round()
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

/// Whether places with these steps lie evenly but for so much: what rounding does to a step, the next ones undo.
fn evenly(steps: &[f64], within: f64) -> bool {
    let mut places = vec![0.0];
    places.extend(steps.iter().scan(0.0, |place, step| {
        *place += step;
        Some(*place)
    }));
    let middle = steps.len() as f64 / 2.0;
    let centered = || (0..places.len()).map(|number| number as f64 - middle);
    let along: f64 = centered().map(|x| x * x).sum();
    let slope = centered().zip(&places).map(|(x, place)| x * place).sum::<f64>() / along;
    span(centered().zip(&places).map(|(x, place)| place - slope * x)) <= within
}

/// Whether all slices lie on one normal but for so much in each direction.
fn on_the_normal(positions: &[[f64; 3]], normal: [f64; 3], within: f64) -> bool {
    let aside = |position: &[f64; 3], axis: usize| position[axis] - dot(*position, normal) * normal[axis];
    (0..3).all(|axis| span(positions.iter().map(|position| aside(position, axis))) <= within)
}

/// The largest value less the smallest.
fn span(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    high - low
}

/// Whether the second slice lies beside the normal through the first, by more than one degree.
fn tilted(a: [f64; 3], b: [f64; 3], normal: [f64; 3]) -> bool {
    let shift = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
    let along = dot(shift, normal);
    let across = (dot(shift, shift) - along * along).max(0.0).sqrt();
    along.abs() > SAME_MM && across > along.abs() * 1f64.to_radians().tan()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    #[test]
    fn planes_follow_the_largest_component() {
        assert_eq!(Plane::of(Some(AXIAL)), Plane::Axial);
        assert_eq!(Plane::of(Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0])), Plane::Coronal);
        assert_eq!(Plane::of(Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0])), Plane::Sagittal);
        assert_eq!(Plane::of(Some([1.0, 0.0, 0.0, 0.0, 0.9, 0.4])), Plane::Axial);
        assert_eq!(Plane::of(Some([0.0; 6])), Plane::Unknown);
        assert_eq!(Plane::of(None), Plane::Unknown);
    }

    fn geometry_flags(z: &[f64], shear: f64) -> GeometryFlags {
        let positions: Vec<[f64; 3]> = z.iter().map(|&z| [0.0, shear * z, z]).collect();
        GeometryFlags::of(z, &positions, &vec![0.0; z.len()], [0.0, 0.0, 1.0])
    }

    #[test]
    fn a_distance_that_equals_a_new_thickness_misses_nothing() {
        let z = [0.0, 4.0, 8.0, 12.0, 19.0, 26.0];
        let positions = z.map(|z| [0.0, 0.0, z]);
        let of = |thickness: [f64; 6]| GeometryFlags::of(&z, &positions, &thickness, [0.0, 0.0, 1.0]);
        let found = of([4.0, 4.0, 4.0, 4.0, 7.0, 7.0]);
        assert!(found.variable_spacing && !found.missing_slices);
        assert!(of([4.0, 4.0, 4.0, 4.0, 5.0, 5.0]).missing_slices);
        assert!(of([7.0; 6]).missing_slices);
    }

    #[test]
    fn rounded_positions_are_even() {
        let rounded = |step: f64| -> Vec<f64> {
            (0..12)
                .map(|n| (f64::from(n) * step * 10.0).round() / 10.0)
                .collect()
        };
        assert_eq!(geometry_flags(&rounded(0.75), 0.0), GeometryFlags::default());
        // Errors that add up are none of rounding, and neither is what is given more exactly.
        assert!(geometry_flags(&[0.0, 0.7, 1.4, 2.1, 3.1, 4.1, 5.1], 0.0).variable_spacing);
        assert!(geometry_flags(&[0.0, 0.8323, 1.5, 2.3323, 3.0], 0.0).variable_spacing);
        let aside = |shift: f64| {
            let positions: Vec<[f64; 3]> = (0..12)
                .map(|n| [0.0, if n % 3 == 1 { shift } else { 0.0 }, 0.7 * f64::from(n)])
                .collect();
            let along: Vec<f64> = positions.iter().map(|position| position[2]).collect();
            GeometryFlags::of(&along, &positions, &[0.0; 12], [0.0, 0.0, 1.0]).gantry_tilt
        };
        assert!(!aside(0.1) && aside(0.2));
    }

    #[test]
    fn a_plain_volume_has_no_flag() {
        assert_eq!(
            geometry_flags(&[0.0, 1.0, 2.0, 3.0], 0.0),
            GeometryFlags::default()
        );
        assert_eq!(geometry_flags(&[5.0], 0.0), GeometryFlags::default());
        assert_eq!(geometry_flags(&[], 0.0), GeometryFlags::default());
    }

    #[test]
    fn each_flag_is_seen() {
        assert!(geometry_flags(&[0.0, 1.0, 1.0, 2.0], 0.0).duplicate_positions);
        assert!(geometry_flags(&[1.0, 1.0], 0.0).duplicate_positions);
        assert!(geometry_flags(&[0.0, 1.0, 3.0, 4.0], 0.0).missing_slices);
        assert!(geometry_flags(&[0.0, 1.0, 2.0, 3.2], 0.0).variable_spacing);
        assert!(geometry_flags(&[0.0, 1.0, 2.0], 0.3).gantry_tilt);
        assert!(!geometry_flags(&[0.0, 1.0, 2.0], 0.001).gantry_tilt);
    }
}
