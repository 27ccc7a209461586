//! Every path against exact rational arithmetic, on every instruction set of this machine.

use super::*;

/// `distance × 255 / width`, halves to even, in whole numbers.
fn exact(distance: i64, width: i64) -> u8 {
    let (quotient, remainder) = (distance * 255 / width, distance * 255 % width);
    let up = 2 * remainder > width || (2 * remainder == width && quotient % 2 == 1);
    (quotient + i64::from(up)) as u8
}

fn hounsfield(slope: f64, intercept: f64) -> Scale {
    Scale::Hounsfield { slope, intercept }
}

/// Converts one row on every instruction set and expects the same of all.
fn convert(stored: Stored<'_>, scale: Scale, intensity: Intensity) -> (Vec<u8>, HuRange) {
    let slice = SlicePixels {
        extremes: None,
        rows: 1,
        columns: stored.len(),
        stored,
        scale,
    };
    let mut results = Cpu::available().into_iter().map(|cpu| {
        let mut buffer = Vec::new();
        let gray = to_gray_on(cpu, &slice, intensity, &mut buffer).unwrap();
        (gray.pixels.to_vec(), gray.range)
    });
    let first = results.next().unwrap();
    assert!(results.all(|other| other == first));
    first
}

#[test]
fn every_distance_of_every_usual_width_is_exact() {
    for width in (1..=5000).chain([
        8191, 10_000, 15_300, 16_383, 16_384, 16_385, 32_767, 32_768, 65_535,
    ]) {
        let want: Vec<u8> = (0..=width).map(|d| exact(d, width)).collect();
        let unsigned: Vec<u16> = (0..=width).map(|d| d as u16).collect();
        assert_eq!(
            convert(Stored::U16(&unsigned), hounsfield(1.0, 0.0), Intensity::MinMax).0,
            want,
            "{width}"
        );
        if width <= 255 || width % 500 == 0 || width > 5000 {
            let signed: Vec<i16> = (0..=width).map(|d| (d - width / 2 - 1) as i16).collect();
            assert_eq!(
                convert(Stored::I16(&signed), hounsfield(0.7, 3.0), Intensity::MinMax).0,
                want
            );
            let reversed: Vec<u8> = want.iter().rev().copied().collect();
            assert_eq!(
                convert(Stored::I16(&signed), hounsfield(-0.7, 3.0), Intensity::MinMax).0,
                reversed
            );
        }
    }
}

#[test]
fn all_types_agree_on_the_same_values() {
    let values: Vec<u8> = (0..=120).map(|i| (i * 37 % 113) as u8).collect();
    let as_type = |v: &u8| *v;
    let (want, range) = convert(Stored::U8(&values), hounsfield(2.0, -10.0), Intensity::MinMax);
    assert_eq!(
        want,
        values.iter().map(|&v| exact(v.into(), 112)).collect::<Vec<_>>()
    );
    assert_eq!(
        range,
        HuRange {
            min_hu: -10.0,
            max_hu: 214.0
        }
    );
    macro_rules! same {
        ($($variant:ident $ty:ty),*) => {$(
            let typed: Vec<$ty> = values.iter().map(as_type).map(|v| v as $ty).collect();
            let stored = Stored::$variant(&typed);
            assert_eq!(convert(stored, hounsfield(2.0, -10.0), Intensity::MinMax), (want.clone(), range));
        )*};
    }
    same!(I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, F32 f32, F64 f64);
}

/// The formula of a fixed range, as it is defined.
fn windowed(stored: f64, slope: f64, intercept: f64, low: f64, high: f64) -> u8 {
    let hu = stored * slope + intercept;
    ((hu - low) * 255.0 / (high - low))
        .clamp(0.0, 255.0)
        .round_ties_even() as u8
}

#[test]
fn ranges_follow_the_formula_whatever_path_they_take() {
    let signed: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let unsigned: Vec<u16> = (0..=u16::MAX).collect();
    let (bytes, signed_bytes): (Vec<u8>, Vec<i8>) = ((0..=255).collect(), (-128..=127).collect());
    let names = [
        "lung",
        "bone",
        "brain",
        "stroke",
        "hu:-3,-2",
        "hu:0.5,99",
        "hu:-32768,-1",
        "hu:40000,40300",
    ];
    let rescales = [
        (1.0, 0.0),
        (1.0, -1024.0),
        (-1.0, 50.0),
        (0.5, -1000.0),
        (1.0, 0.25),
        (-2.5, 7.0),
    ];
    for (name, (slope, intercept)) in names.iter().flat_map(|name| rescales.map(|r| (name, r))) {
        let intensity = Intensity::parse(name).unwrap();
        let Intensity::Range { low_hu, high_hu } = intensity else {
            panic!("{name}")
        };
        let gray = |v: f64| windowed(v, slope, intercept, low_hu, high_hu);
        let converted = |stored| convert(stored, hounsfield(slope, intercept), intensity).0;
        assert!(
            converted(Stored::I16(&signed))
                .into_iter()
                .eq(signed.iter().map(|&v| gray(v.into())))
        );
        assert!(
            converted(Stored::U16(&unsigned))
                .into_iter()
                .eq(unsigned.iter().map(|&v| gray(v.into())))
        );
        assert!(
            converted(Stored::U8(&bytes))
                .into_iter()
                .eq(bytes.iter().map(|&v| gray(v.into())))
        );
        assert!(
            converted(Stored::I8(&signed_bytes))
                .into_iter()
                .eq(signed_bytes.iter().map(|&v| gray(v.into())))
        );
    }
}

#[test]
fn a_constant_slice_becomes_black() {
    assert_eq!(
        convert(Stored::I16(&[7; 99]), hounsfield(1.0, 0.0), Intensity::MinMax).0,
        [0; 99]
    );
    assert_eq!(
        convert(Stored::F32(&[7.5; 99]), hounsfield(1.0, 0.0), Intensity::MinMax).0,
        [0; 99]
    );
}

#[test]
fn extremes_are_found_wherever_they_are() {
    for index in 0..200 {
        let mut values = [5i16; 200];
        (values[index], values[(index + 77) % 200]) = (-3000, 3000);
        let range = convert(Stored::I16(&values), hounsfield(-1.0, 10.0), Intensity::MinMax).1;
        assert_eq!(
            range,
            HuRange {
                min_hu: -2990.0,
                max_hu: 3010.0
            }
        );
    }
}

#[test]
fn pixels_that_are_not_finite_count_as_the_lowest() {
    let values = [f32::NAN, 1.0, 3.0, f32::INFINITY, f32::NEG_INFINITY];
    let (gray, range) = convert(Stored::F32(&values), hounsfield(1.0, 0.0), Intensity::MinMax);
    assert_eq!(
        (gray, range),
        (
            vec![0, 0, 255, 0, 0],
            HuRange {
                min_hu: 1.0,
                max_hu: 3.0
            }
        )
    );
    let (gray, _) = convert(Stored::F32(&values), hounsfield(-1.0, 0.0), Intensity::MinMax);
    assert_eq!(gray, [0, 255, 0, 0, 0]);
}

#[test]
fn gray_pictures_are_not_copied() {
    let pixels = [9u8, 200, 30];
    let slice = SlicePixels {
        extremes: None,
        rows: 1,
        columns: 3,
        stored: Stored::U8(&pixels),
        scale: Scale::Gray8,
    };
    let mut buffer = Vec::new();
    let gray = to_gray(&slice, Intensity::parse("lung").unwrap(), &mut buffer).unwrap();
    assert_eq!(gray.pixels.as_ptr(), pixels.as_ptr());
    assert_eq!(
        gray.range,
        HuRange {
            min_hu: 9.0,
            max_hu: 200.0
        }
    );
}

#[test]
fn what_cannot_be_converted_is_refused_in_a_sentence() {
    let refused = |rows, stored, scale| {
        let slice = SlicePixels {
            extremes: None,
            rows,
            columns: 2,
            stored,
            scale,
        };
        to_gray(&slice, Intensity::MinMax, &mut Vec::new())
            .unwrap_err()
            .to_string()
    };
    let scale = hounsfield(1.0, 0.0);
    assert_eq!(
        refused(2, Stored::U8(&[1; 3]), scale),
        "expected 2 × 2 pixels, at least one, found 3"
    );
    assert_eq!(
        refused(0, Stored::U8(&[]), scale),
        "expected 0 × 2 pixels, at least one, found 0"
    );
    assert!(refused(usize::MAX, Stored::U8(&[1; 2]), scale).starts_with("expected"));
    assert!(refused(1, Stored::I8(&[1; 2]), Scale::Gray8).contains("unsigned 8-bit"));
    assert!(refused(1, Stored::U8(&[1; 2]), hounsfield(0.0, 0.0)).contains("slope 0"));
    assert!(refused(1, Stored::U8(&[1; 2]), hounsfield(1.0, f64::NAN)).contains("NaN"));
    assert_eq!(
        refused(1, Stored::F64(&[f64::NAN; 2]), scale),
        "no pixel is a finite number"
    );
}

#[test]
fn intensity_names_are_read_and_written() {
    let text = |text: &str| Intensity::parse(text).map(|intensity| intensity.to_string());
    assert_eq!(text("minmax").unwrap(), "minmax");
    assert_eq!(text("lung").unwrap(), "hu:-1350,150");
    assert_eq!(text("window:40, 401").unwrap(), "hu:-160.5,240.5");
    assert_eq!(text("hu:-160.5,240.5").unwrap(), "hu:-160.5,240.5");
    let refused = |wrong: &str| text(wrong).unwrap_err().to_string();
    assert_eq!(
        refused("hu:5,5"),
        "intensity 'hu:5,5': expected LOW below HIGH; 5 is not below 5"
    );
    assert_eq!(
        refused("window:5,0"),
        "intensity 'window:5,0': expected a WIDTH above 0; 0 is not above 0"
    );
    for wrong in [
        "",
        "Lung!",
        "hu:",
        "hu:1",
        "hu:1,inf",
        "window:nan,3",
        "window:1,2,3",
        "window:1;2",
    ] {
        assert!(refused(wrong).starts_with("intensity '"), "{wrong}");
    }
}
