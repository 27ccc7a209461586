//! One slice of stored pixels, borrowed, with the rule that turns them into Hounsfield units.

/// Stored values of one slice, row-major, in the type that the file holds.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// Unsigned 8-bit.
    U8(&'a [u8]),
    /// Signed 8-bit.
    I8(&'a [i8]),
    /// Unsigned 16-bit.
    U16(&'a [u16]),
    /// Signed 16-bit.
    I16(&'a [i16]),
    /// Unsigned 32-bit.
    U32(&'a [u32]),
    /// Signed 32-bit.
    I32(&'a [i32]),
    /// 32-bit floating point.
    F32(&'a [f32]),
    /// 64-bit floating point.
    F64(&'a [f64]),
}

impl Stored<'_> {
    /// Number of pixels.
    pub fn len(&self) -> usize {
        match self {
            Stored::U8(s) => s.len(),
            Stored::I8(s) => s.len(),
            Stored::U16(s) => s.len(),
            Stored::I16(s) => s.len(),
            Stored::U32(s) => s.len(),
            Stored::I32(s) => s.len(),
            Stored::F32(s) => s.len(),
            Stored::F64(s) => s.len(),
        }
    }

    /// The pixels from `start` to before `end`.
    pub fn range(&self, start: usize, end: usize) -> Self {
        match self {
            Stored::U8(s) => Stored::U8(&s[start..end]),
            Stored::I8(s) => Stored::I8(&s[start..end]),
            Stored::U16(s) => Stored::U16(&s[start..end]),
            Stored::I16(s) => Stored::I16(&s[start..end]),
            Stored::U32(s) => Stored::U32(&s[start..end]),
            Stored::I32(s) => Stored::I32(&s[start..end]),
            Stored::F32(s) => Stored::F32(&s[start..end]),
            Stored::F64(s) => Stored::F64(&s[start..end]),
        }
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the stored values mean, hence how they become 8-bit gray.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// `HU = stored × slope + intercept` (DICOM PS3.3 C.11.1); the slope is finite and not zero.
    Hounsfield {
        /// RescaleSlope.
        slope: f64,
        /// RescaleIntercept.
        intercept: f64,
    },
    /// Already 8-bit gray (PNG, JPEG, TIFF): used as it is. Only with [`Stored::U8`].
    Gray8,
}

/// One slice: `rows × columns` stored values, row-major.
#[derive(Clone, Copy, Debug)]
pub struct SlicePixels<'a> {
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Number of columns, at least 1.
    pub columns: usize,
    /// `rows × columns` stored values.
    pub stored: Stored<'a>,
    /// The smallest and the largest finite one, where the reader has seen them; else they are looked for.
    pub extremes: Option<(f64, f64)>,
    /// What they mean.
    pub scale: Scale,
}
