//! Arrow's memory layout for the few kinds of column that the manifest has: validity bits, offsets, values.
//!
//! The bytes go to and come from pyarrow as they are; see the Arrow columnar format, "Physical Memory Layout".

/// One column of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Column {
    /// One bit per row, least significant first, 1 = there is a value; `None` when every row has one.
    pub valid: Option<Vec<u8>>,
    /// For texts: where each starts in `data` and one past the end, as native `i32`.
    pub offsets: Option<Vec<u8>>,
    /// The values, one after the other.
    pub data: Vec<u8>,
}

/// A column of texts; an empty text is null. Offsets have 32 bits: texts of 2 GiB and more are refused.
pub fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Result<Column, String> {
    let (mut data, mut offsets, mut valid) = (Vec::new(), 0i32.to_ne_bytes().to_vec(), Validity::default());
    for text in values {
        data.extend_from_slice(text.as_bytes());
        let end = i32::try_from(data.len()).map_err(|_| "a batch of rows has 2 GiB of text or more")?;
        offsets.extend_from_slice(&end.to_ne_bytes());
        valid.push(!text.is_empty());
    }
    Ok(Column {
        valid: valid.finish(),
        offsets: Some(offsets),
        data,
    })
}

/// A column of values of `N` bytes each.
pub fn fixed<const N: usize>(values: impl Iterator<Item = Option<[u8; N]>>) -> Column {
    let (mut data, mut valid) = (Vec::new(), Validity::default());
    for value in values {
        data.extend_from_slice(&value.unwrap_or([0; N]));
        valid.push(value.is_some());
    }
    Column {
        valid: valid.finish(),
        offsets: None,
        data,
    }
}

/// A column of values of `width` bytes each, written by `fill` into zeroed memory; it says whether there is one.
pub fn wide<T>(values: impl Iterator<Item = T>, width: usize, fill: impl Fn(T, &mut [u8]) -> bool) -> Column {
    let (mut data, mut valid) = (Vec::new(), Validity::default());
    for value in values {
        let start = data.len();
        data.resize(start + width, 0);
        valid.push(fill(value, &mut data[start..]));
    }
    Column {
        valid: valid.finish(),
        offsets: None,
        data,
    }
}

/// Floats side by side, as in a list of fixed size.
pub fn side_by_side<const N: usize, const B: usize>(values: [f64; N]) -> [u8; B] {
    let mut bytes = [0; B];
    for (place, value) in bytes.chunks_exact_mut(8).zip(values) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

#[derive(Default)]
struct Validity {
    bits: Vec<u8>,
    rows: usize,
    nulls: usize,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        if self.rows.is_multiple_of(8) {
            self.bits.push(0);
        }
        self.bits[self.rows / 8] |= u8::from(valid) << (self.rows % 8);
        self.rows += 1;
        self.nulls += usize::from(!valid);
    }

    fn finish(self) -> Option<Vec<u8>> {
        (self.nulls > 0).then_some(self.bits)
    }
}

/// A borrowed column, to read from.
#[derive(Clone, Copy)]
pub struct ColumnRef<'a> {
    /// As in [`Column`].
    pub valid: Option<&'a [u8]>,
    /// As in [`Column`].
    pub offsets: Option<&'a [u8]>,
    /// As in [`Column`].
    pub data: &'a [u8],
}

impl<'a> ColumnRef<'a> {
    fn is_valid(&self, row: usize) -> bool {
        self.valid
            .is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1))
    }

    /// The text of a row; empty when there is none.
    pub fn text(&self, row: usize) -> &'a str {
        let bytes = self.is_valid(row).then(|| {
            let offset = |row: usize| {
                let bytes = self.offsets?.get(row * 4..row * 4 + 4)?;
                Some(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
            };
            self.data.get(offset(row)?..offset(row + 1)?)
        });
        bytes
            .flatten()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    /// The `N` bytes of a row.
    pub fn fixed<const N: usize>(&self, row: usize) -> Option<[u8; N]> {
        self.bytes(row, N).and_then(|bytes| bytes.try_into().ok())
    }

    /// The `width` bytes of a row.
    pub fn bytes(&self, row: usize, width: usize) -> Option<&'a [u8]> {
        self.is_valid(row)
            .then(|| self.data.get(row * width..(row + 1) * width))
            .flatten()
    }

    /// The `N` floats of a row.
    pub fn floats<const N: usize>(&self, row: usize) -> Option<[f64; N]> {
        let bytes = self.bytes(row, 8 * N)?;
        let mut values = [0.0; N];
        for (value, part) in values.iter_mut().zip(bytes.chunks_exact(8)) {
            *value = f64::from_ne_bytes(part.try_into().ok()?);
        }
        Some(values)
    }
}

impl<'a> From<&'a Column> for ColumnRef<'a> {
    fn from(column: &'a Column) -> Self {
        Self {
            valid: column.valid.as_deref(),
            offsets: column.offsets.as_deref(),
            data: &column.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let words = ["a", "", "ccc", "", "", "f", "g", "h", "i"];
        let column = texts(words.into_iter()).unwrap();
        let back: Vec<_> = (0..words.len())
            .map(|row| ColumnRef::from(&column).text(row))
            .collect();
        assert_eq!(back, words);
        assert_eq!(texts(["x"].into_iter()).unwrap().valid, None);
        assert_eq!(ColumnRef::from(&column).text(99), "");
    }

    #[test]
    fn values_come_back() {
        let values = [Some([1.5, -2.0]), None, Some([0.0, f64::MAX])];
        let column = fixed::<16>(values.into_iter().map(|v| v.map(side_by_side)));
        let back: Vec<_> = (0..3)
            .map(|row| ColumnRef::from(&column).floats::<2>(row))
            .collect();
        assert_eq!(back, values);
        assert_eq!(ColumnRef::from(&column).floats::<2>(3), None);
    }
}
