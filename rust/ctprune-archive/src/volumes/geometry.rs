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

impl GeometryFlags {
    /// Look at ordered slices: position along the normal and Image Position (Patient), both in mm.
    pub fn of(along: &[f64], positions: &[[f64; 3]], normal: [f64; 3]) -> Self {
        let steps: Vec<f64> = along.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut distances: Vec<f64> = steps.iter().copied().filter(|step| *step > SAME_MM).collect();
        distances.sort_by(f64::total_cmp);
        let Some(&usual) = distances.get(distances.len() / 2) else {
            return Self {
                duplicate_positions: !steps.is_empty(),
                ..Self::default()
            };
        };
        Self {
            no_positions: false,
            duplicate_positions: distances.len() < steps.len(),
            missing_slices: distances.iter().any(|step| *step >= 1.5 * usual),
            variable_spacing: distances
                .iter()
                .any(|step| *step < 1.5 * usual && (step - usual).abs() > 0.1 * usual),
            gantry_tilt: positions.windows(2).any(|pair| tilted(pair[0], pair[1], normal)),
        }
    }
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
        GeometryFlags::of(z, &positions, [0.0, 0.0, 1.0])
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
