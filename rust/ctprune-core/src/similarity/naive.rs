//! SSIM and mutual information word for word: slow, obvious, and what the fast ways are tested against.

use super::Picture;

/// Mean SSIM from the definition, with `weights` of a window along each axis and covariances multiplied by `correction`.
pub fn ssim(a: Picture<'_>, b: Picture<'_>, weights: &[f64], correction: f64) -> f64 {
    let side = weights.len();
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in 0..=a.rows - side {
        for left in 0..=a.columns - side {
            let mean = |value: &dyn Fn(usize) -> f64| {
                let mut mean = 0.0;
                for (row, down) in weights.iter().enumerate() {
                    for (column, along) in weights.iter().enumerate() {
                        mean += down * along * value((top + row) * a.columns + left + column);
                    }
                }
                mean
            };
            let (x, y) = (
                |at: usize| f64::from(a.pixels[at]),
                |at: usize| f64::from(b.pixels[at]),
            );
            let (mx, my) = (mean(&x), mean(&y));
            let vx = correction * mean(&|at| (x(at) - mx) * (x(at) - mx));
            let vy = correction * mean(&|at| (y(at) - my) * (y(at) - my));
            let covariance = correction * mean(&|at| (x(at) - mx) * (y(at) - my));
            let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
            sum +=
                (2.0 * mx * my + c1) * (2.0 * covariance + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
            windows += 1.0;
        }
    }
    sum / windows
}

/// Normalized mutual information of 64 bins from the definition.
pub fn mutual_information(a: Picture<'_>, b: Picture<'_>) -> f64 {
    let bins = |pixels: &[u8]| -> Vec<usize> {
        let low = f64::from(pixels.iter().copied().min().unwrap_or(0));
        let high = f64::from(pixels.iter().copied().max().unwrap_or(0));
        let bin = |&pixel: &u8| match (f64::from(pixel) - low) * 64.0 / (high - low).max(1.0) {
            bin if bin >= 64.0 => 63,
            bin => bin as usize,
        };
        pixels.iter().map(bin).collect()
    };
    let entropy = |cells: &mut dyn Iterator<Item = usize>| {
        let mut counts = std::collections::BTreeMap::new();
        cells.for_each(|cell| *counts.entry(cell).or_insert(0.0) += 1.0);
        let total: f64 = counts.values().sum();
        counts
            .values()
            .map(|count: &f64| -count / total * (count / total).ln())
            .sum::<f64>()
    };
    let (x, y) = (bins(a.pixels), bins(b.pixels));
    let joint = entropy(&mut x.iter().zip(&y).map(|(x, y)| x * 64 + y));
    if joint == 0.0 {
        return 2.0;
    }
    (entropy(&mut x.iter().copied()) + entropy(&mut y.iter().copied())) / joint
}
