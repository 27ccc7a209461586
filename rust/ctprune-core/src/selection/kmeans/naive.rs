//! Spherical k-means word for word: what the fast way is tested against. Vectors have length 1.

/// The product of two vectors: every sixteenth number belongs to the same part of the sum, and parts are added by halves.
pub fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = vec![0.0f64; 16];
    for (at, (&a, &b)) in a.iter().zip(b).enumerate() {
        parts[at % 16] += f64::from(a) * f64::from(b);
    }
    while parts.len() > 1 {
        let half = parts.split_off(parts.len() / 2);
        parts = parts.iter().zip(half).map(|(a, b)| a + b).collect();
    }
    parts[0] as f32
}

/// The nearest centroid of each vector, ties to the first, and the similarity to it.
pub fn assign(vectors: &[Vec<f32>], centroids: &[Vec<f32>]) -> Vec<(u32, f32)> {
    let nearest = |vector: &Vec<f32>| {
        let mut best = (0, f32::NEG_INFINITY);
        for (number, centroid) in (0u32..).zip(centroids) {
            let similarity = similarity(vector, centroid);
            if similarity > best.1 {
                best = (number, similarity);
            }
        }
        best
    };
    vectors.iter().map(nearest).collect()
}

/// The centroids after at most so many rounds, from the first ones on.
pub fn kmeans(vectors: &[Vec<f32>], first: &[Vec<f32>], rounds: usize) -> Vec<Vec<f32>> {
    let mut centroids = first.to_vec();
    let mut before: Option<Vec<u32>> = None;
    for _ in 0..rounds {
        let assigned = assign(vectors, &centroids);
        let now: Vec<u32> = assigned.iter().map(|(cluster, _)| *cluster).collect();
        if before.as_ref() == Some(&now) {
            break;
        }
        let mut worst: Vec<usize> = (0..vectors.len()).collect();
        worst.sort_by(|&a, &b| assigned[a].1.total_cmp(&assigned[b].1));
        let mut spare = worst.into_iter();
        for (number, centroid) in (0u32..).zip(&mut centroids) {
            let mut sums = vec![0.0f64; centroid.len()];
            for (vector, _) in vectors
                .iter()
                .zip(&now)
                .filter(|(_, cluster)| **cluster == number)
            {
                for (sum, value) in sums.iter_mut().zip(vector) {
                    *sum += f64::from(*value);
                }
            }
            let length = sums.iter().fold(0.0, |sum, x| sum + x * x).sqrt();
            if length > 0.0 {
                *centroid = sums.iter().map(|sum| (sum / length) as f32).collect();
            } else if let Some(row) = spare.next() {
                centroid.clone_from(&vectors[row]);
            }
        }
        before = Some(now);
    }
    centroids
}
