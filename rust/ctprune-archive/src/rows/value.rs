//! One value of a column, borrowed from where it is.

/// A value; which ones a column has is said by its [`Kind`](crate::rows::schema::Kind).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// There is none.
    Null,
    /// A text.
    Text(&'a str),
    /// An integer of 32 or 64 bits.
    Integer(i64),
    /// A float of 32 or 64 bits.
    Float(f64),
    /// Several floats.
    Floats(&'a [f64]),
    /// A fingerprint.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// The text, empty when there is none.
    pub fn text(self) -> String {
        match self {
            Value::Text(text) => text.to_owned(),
            _ => String::new(),
        }
    }

    /// The integer.
    pub fn integer(self) -> Option<i64> {
        match self {
            Value::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// The integer where it counts something, 0 when there is none.
    pub fn unsigned(self) -> u32 {
        self.integer()
            .and_then(|integer| integer.try_into().ok())
            .unwrap_or(0)
    }

    /// The float.
    pub fn float(self) -> Option<f64> {
        match self {
            Value::Float(float) => Some(float),
            _ => None,
        }
    }

    /// The float in 32 bits, NaN when there is none.
    pub fn float32(self) -> f32 {
        self.float().map_or(f32::NAN, |float| float as f32)
    }

    /// The floats, when they are so many.
    pub fn floats<const N: usize>(self) -> Option<[f64; N]> {
        match self {
            Value::Floats(floats) => floats.try_into().ok(),
            _ => None,
        }
    }

    /// A fingerprint's big-endian bytes as words, the last one filled up with zeros.
    pub fn words(self) -> Vec<u64> {
        match self {
            Value::Bytes(bytes) => words(bytes),
            _ => Vec::new(),
        }
    }
}

/// Big-endian bytes to words, the last one filled up with zeros.
pub fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |part: &[u8]| {
        let mut full = [0; 8];
        full[..part.len()].copy_from_slice(part);
        u64::from_be_bytes(full)
    };
    bytes.chunks(8).map(word).collect()
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() {
            Value::Null
        } else {
            Value::Bytes(bytes)
        }
    }
}

impl<'a, const N: usize> From<Option<&'a [f64; N]>> for Value<'a> {
    fn from(floats: Option<&'a [f64; N]>) -> Self {
        floats.map_or(Value::Null, |floats| Value::Floats(floats))
    }
}

impl From<i64> for Value<'_> {
    fn from(integer: i64) -> Self {
        Value::Integer(integer)
    }
}

impl From<u32> for Value<'_> {
    fn from(integer: u32) -> Self {
        Value::Integer(integer.into())
    }
}

impl From<Option<u32>> for Value<'_> {
    fn from(integer: Option<u32>) -> Self {
        integer.map_or(Value::Null, Value::from)
    }
}

impl From<Option<i32>> for Value<'_> {
    fn from(integer: Option<i32>) -> Self {
        integer.map_or(Value::Null, |integer| Value::Integer(integer.into()))
    }
}

impl From<Option<f32>> for Value<'_> {
    fn from(float: Option<f32>) -> Self {
        float.map_or(Value::Null, |float| Value::Float(float.into()))
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(float: Option<f64>) -> Self {
        float.map_or(Value::Null, Value::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_first_byte_is_the_most_significant() {
        assert_eq!(
            words(&[1, 2, 3, 4, 5, 6, 7, 8, 0x80]),
            [0x0102_0304_0506_0708, 0x8000_0000_0000_0000]
        );
    }
}
