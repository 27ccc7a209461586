//! The names of intensity maps: `minmax`, `lung`, `window:-600,1500`, `hu:-1350,150`.

use crate::option::OptionError;
use std::fmt;
use std::str::FromStr;

/// How Hounsfield units become 8-bit gray.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Intensity {
    /// From each slice's own smallest and largest pixel.
    #[default]
    MinMax,
    /// From a fixed range; what lies outside is clipped.
    Range {
        /// Becomes 0.
        low_hu: f64,
        /// Becomes 255; above `low_hu`.
        high_hu: f64,
    },
}

/// Display windows in common use: name, center and width in HU.
const WINDOWS: [(&str, f64, f64); 9] = [
    ("lung", -600.0, 1500.0),
    ("mediastinum", 40.0, 400.0),
    ("bone", 400.0, 1800.0),
    ("brain", 40.0, 80.0),
    ("stroke", 40.0, 40.0),
    ("abdomen", 50.0, 400.0),
    ("soft-tissue", 50.0, 400.0),
    ("liver", 30.0, 150.0),
    ("temporal-bone", 600.0, 2800.0),
];

impl Intensity {
    /// Reads `minmax`, the name of a window, `window:CENTER,WIDTH` or `hu:LOW,HIGH`.
    ///
    /// ```
    /// # use ctprune_core::intensity::Intensity;
    /// let lung = Intensity::parse("lung").unwrap();
    /// assert_eq!(lung, Intensity::parse("window:-600,1500").unwrap());
    /// assert_eq!(lung.to_string(), "hu:-1350,150");
    /// ```
    pub fn parse(text: &str) -> Result<Self, OptionError> {
        if text == "minmax" {
            return Ok(Self::MinMax);
        }
        if let Some(&(_, center, width)) = WINDOWS.iter().find(|window| window.0 == text) {
            return Ok(Self::from_window(center, width));
        }
        if let Some(numbers) = text.strip_prefix("window:") {
            return Self::parse_window(text, numbers);
        }
        if let Some(numbers) = text.strip_prefix("hu:") {
            return Self::parse_range(text, numbers);
        }
        let names: Vec<&str> = WINDOWS.iter().map(|window| window.0).collect();
        let names = names.join(", ");
        Err(refused(
            text,
            format_args!("minmax, window:CENTER,WIDTH, hu:LOW,HIGH or one of {names}"),
        ))
    }

    /// DICOM's window in the simple form: half the width on each side of the center.
    fn from_window(center: f64, width: f64) -> Self {
        Self::Range {
            low_hu: center - width / 2.0,
            high_hu: center + width / 2.0,
        }
    }

    fn parse_window(text: &str, numbers: &str) -> Result<Self, OptionError> {
        match two_numbers(numbers) {
            Some((center, width)) if width > 0.0 => Ok(Self::from_window(center, width)),
            Some((_, width)) => Err(refused(
                text,
                format_args!("a WIDTH above 0; {width} is not above 0"),
            )),
            None => Err(refused(text, "two numbers, window:CENTER,WIDTH")),
        }
    }

    fn parse_range(text: &str, numbers: &str) -> Result<Self, OptionError> {
        match two_numbers(numbers) {
            Some((low_hu, high_hu)) if low_hu < high_hu => Ok(Self::Range { low_hu, high_hu }),
            Some((low, high)) => Err(refused(
                text,
                format_args!("LOW below HIGH; {low} is not below {high}"),
            )),
            None => Err(refused(text, "two numbers, hu:LOW,HIGH")),
        }
    }
}

fn refused(text: &str, expected: impl fmt::Display) -> OptionError {
    OptionError::new("intensity", expected, format_args!("'{text}'"))
}

/// Two finite numbers with a comma between them.
fn two_numbers(text: &str) -> Option<(f64, f64)> {
    let (first, second) = text.split_once(',')?;
    let number = |text: &str| text.trim().parse().ok().filter(|value: &f64| value.is_finite());
    Some((number(first)?, number(second)?))
}

impl FromStr for Intensity {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        Self::parse(text)
    }
}

/// The canonical form, which [`Intensity::parse`] reads back to the same value.
impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Range { low_hu, high_hu } => write!(f, "hu:{low_hu},{high_hu}"),
        }
    }
}
