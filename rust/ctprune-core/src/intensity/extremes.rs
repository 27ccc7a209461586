//! Smallest and largest pixel.

use ctprune_cpu::by_cpu;

/// Comparisons that run side by side. Enough for the widest registers with the smallest type, and
/// for floating point the compiler may not reorder comparisons by itself.
const LANES: usize = 64;

/// A stored pixel type.
pub trait Sample: Copy + PartialOrd {
    /// Not below any value.
    const HIGHEST: Self;
    /// Not above any value.
    const LOWEST: Self;

    /// The value, exactly.
    fn to_f64(self) -> f64;

    /// The value that [`to_f64`](Self::to_f64) gave.
    fn from_f64(value: f64) -> Self;

    /// Whether it is a number that can be drawn; integers always are.
    fn is_finite(self) -> bool;
}

macro_rules! sample {
    ($finite:expr; $lowest:ident, $highest:ident; $($ty:ident),*) => {$(
        impl Sample for $ty {
            const HIGHEST: Self = $ty::$highest;
            const LOWEST: Self = $ty::$lowest;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                let finite: fn($ty) -> bool = $finite;
                finite(self)
            }
        }
    )*};
}
sample!(|_| true; MIN, MAX; u8, i8, u16, i16, u32, i32);
sample!(|v| v.is_finite(); NEG_INFINITY, INFINITY; f32, f64);

by_cpu! {
    /// Smallest and largest finite value; `None` when there is none.
    pub fn extremes[T: Sample](values: &[T]) -> Option<(T, T)> {
        let mut low = [T::HIGHEST; LANES];
        let mut high = [T::LOWEST; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for lane in 0..LANES {
                (low[lane], high[lane]) = widened(low[lane], high[lane], chunk[lane]);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            (low[lane], high[lane]) = widened(low[lane], high[lane], value);
        }
        let min = low.into_iter().fold(T::HIGHEST, |min, v| if v < min { v } else { min });
        let max = high.into_iter().fold(T::LOWEST, |max, v| if v > max { v } else { max });
        (min <= max).then_some((min, max))
    }
}

#[inline(always)]
fn widened<T: Sample>(low: T, high: T, value: T) -> (T, T) {
    (
        if value < low && value.is_finite() {
            value
        } else {
            low
        },
        if value > high && value.is_finite() {
            value
        } else {
            high
        },
    )
}
