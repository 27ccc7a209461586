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
}
