//! Where the slices of a NIfTI volume lie, in DICOM's words.
//!
//! NIfTI's axes point to the right, front and top (RAS), DICOM's to the left, back and top (LPS): the first two
//! coordinates change their sign.

use super::fields::Fields;
use crate::slice::SliceInfo;

type Vector = [f64; 3];

/// Patient coordinates in mm of voxel `(i, j, k)`: `origin + i × columns + j × rows + k × slices`, in DICOM's
/// axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    /// Step from one column to the next.
    columns: Vector,
    /// Step from one row to the next.
    rows: Vector,
    /// Step from one slice to the next.
    slices: Vector,
    origin: Vector,
}

impl Geometry {
    /// From the sform, else the qform, else the voxel sizes alone, whichever is the first to be usable.
    pub(super) fn of(fields: &Fields<'_>) -> Geometry {
        [sform(fields), qform(fields)]
            .into_iter()
            .flatten()
            .map(|ras| ras.in_mm(fields.units()).in_dicom_axes())
            .find(Geometry::is_usable)
            .unwrap_or_else(|| from_voxel_sizes(fields).in_mm(fields.units()).in_dicom_axes())
    }

    /// Fills the geometry of slice `k`; leaves it empty where the header gives none.
    pub(super) fn describe(&self, k: u64, info: &mut SliceInfo) {
        if !self.is_usable() {
            return;
        }
        let [row, column] = [normalized(self.columns), normalized(self.rows)];
        let position = std::array::from_fn(|axis| self.origin[axis] + k as f64 * self.slices[axis]);
        info.image_position_patient = Some(position);
        info.image_orientation_patient = Some([row[0], row[1], row[2], column[0], column[1], column[2]]);
        info.pixel_spacing_mm = Some([norm(self.rows), norm(self.columns)]);
        // The distance of the slice planes, which is less than the step where the volume is sheared (gantry
        // tilt).
        info.slice_thickness_mm = Some(dot(self.slices, normalized(cross(row, column))).abs());
    }

    /// Finite, with three axes that span space.
    fn is_usable(&self) -> bool {
        let volume = dot(cross(self.columns, self.rows), self.slices);
        volume != 0.0 && volume.is_finite() && self.origin.iter().all(|x| x.is_finite())
    }

    /// Coordinates in meters (unit code 1) or micrometres (3) become millimetres.
    fn in_mm(self, units: u8) -> Geometry {
        let factor = match units & 7 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        };
        self.map(|vector| vector.map(|x| x * factor))
    }

    fn in_dicom_axes(self) -> Geometry {
        self.map(|[x, y, z]| [-x, -y, z])
    }

    fn map(self, change: impl Fn(Vector) -> Vector) -> Geometry {
        Geometry {
            columns: change(self.columns),
            rows: change(self.rows),
            slices: change(self.slices),
            origin: change(self.origin),
        }
    }
}

/// Method 3 of the standard: an affine matrix, row by row.
fn sform(fields: &Fields<'_>) -> Option<Geometry> {
    if fields.code(254, 348) <= 0 {
        return None;
    }
    let column = |column: usize| std::array::from_fn(|row| fields.real(280, 400, 4 * row + column));
    Some(Geometry {
        columns: column(0),
        rows: column(1),
        slices: column(2),
        origin: column(3),
    })
}

/// Method 2 of the standard: a rotation as unit quaternion, with the voxel sizes; `pixdim[0]` is -1 where the
/// third axis is mirrored.
fn qform(fields: &Fields<'_>) -> Option<Geometry> {
    if fields.code(252, 344) <= 0 {
        return None;
    }
    let [b, c, d] = std::array::from_fn(|i| fields.real(256, 352, i));
    let [dx, dy, dz] = voxel_sizes(fields);
    let handedness = if fields.real(76, 104, 0) < 0.0 { -1.0 } else { 1.0 };
    let [x_axis, y_axis, z_axis] = rotation(b, c, d);
    let times = |axis: Vector, step: f64| axis.map(|x| x * step);
    Some(Geometry {
        columns: times(x_axis, dx),
        rows: times(y_axis, dy),
        slices: times(z_axis, dz * handedness),
        origin: std::array::from_fn(|i| fields.real(268, 376, i)),
    })
}

/// Where the quaternion `(a, b, c, d)` of length 1 turns the three axes; `a` follows from the others.
fn rotation(b: f64, c: f64, d: f64) -> [Vector; 3] {
    let rest = 1.0 - (b * b + c * c + d * d);
    // Rounding may leave (b, c, d) a little too long: then it is a half turn.
    let (a, shrink) = if rest < 1e-7 {
        (0.0, (b * b + c * c + d * d).sqrt())
    } else {
        (rest.sqrt(), 1.0)
    };
    let [b, c, d] = [b / shrink, c / shrink, d / shrink];
    [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c + a * d),
            2.0 * (b * d - a * c),
        ],
        [
            2.0 * (b * c - a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d + a * b),
        ],
        [
            2.0 * (b * d + a * c),
            2.0 * (c * d - a * b),
            a * a + d * d - b * b - c * c,
        ],
    ]
}

/// pixdim 1 to 3, which are positive in a correct file.
fn voxel_sizes(fields: &Fields<'_>) -> Vector {
    std::array::from_fn(|axis| fields.real(76, 104, axis + 1).abs())
}

/// Method 1 of the standard: the axes are those of the file.
fn from_voxel_sizes(fields: &Fields<'_>) -> Geometry {
    let [dx, dy, dz] = voxel_sizes(fields);
    Geometry {
        columns: [dx, 0.0, 0.0],
        rows: [0.0, dy, 0.0],
        slices: [0.0, 0.0, dz],
        origin: [0.0; 3],
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn norm(vector: Vector) -> f64 {
    dot(vector, vector).sqrt()
}

fn normalized(vector: Vector) -> Vector {
    let length = norm(vector);
    vector.map(|x| x / length)
}
