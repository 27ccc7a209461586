//! Similarities of a few rows with a few others at a time: a small matrix product.

use super::{Embeddings, cosine};
use ctprune_cpu::{Cpu, by_cpu};

/// Rows that are held against the columns of a panel together.
const TALL: usize = 4;

/// Columns of a panel: as many sums of a row run side by side.
pub(crate) const WIDE: usize = 8;

/// Embeddings side by side: for each feature the numbers of all columns, so that one load finds them.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    numbers: Vec<[f32; WIDE]>,
    lengths: [f64; WIDE],
    rows: Vec<u32>,
}

impl Panel {
    /// An empty panel for embeddings of this many features.
    pub fn new(features: usize) -> Self {
        Self {
            numbers: vec![[0.0; WIDE]; features],
            lengths: [0.0; WIDE],
            rows: Vec::with_capacity(WIDE),
        }
    }

    /// Adds a row; the panel must not be full.
    pub fn push(&mut self, embeddings: Embeddings<'_>, row: u32) {
        let column = self.rows.len();
        for (numbers, number) in self.numbers.iter_mut().zip(embeddings.row(row as usize)) {
            numbers[column] = number;
        }
        self.lengths[column] = embeddings.length(row as usize);
        self.rows.push(row);
    }

    /// The rows it holds.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether there is no room for another row.
    pub fn is_full(&self) -> bool {
        self.rows.len() == WIDE
    }
}

/// Consecutive rows that are compared together.
#[derive(Debug)]
pub(crate) struct Block {
    first: usize,
    features: usize,
    numbers: Vec<f64>,
    lengths: Vec<f64>,
}

impl Block {
    /// The rows from `first` to before `end`.
    pub fn new(embeddings: Embeddings<'_>, first: usize, end: usize) -> Self {
        let rows = first..end;
        Self {
            first,
            features: embeddings.features(),
            numbers: rows
                .clone()
                .flat_map(|row| embeddings.row(row))
                .map(f64::from)
                .collect(),
            lengths: rows.map(|row| embeddings.length(row)).collect(),
        }
    }

    /// Its first row.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Similarity of each row with each column of a panel; columns beyond the panel's rows are 0.
    pub fn similarities(&self, panel: &Panel, out: &mut Vec<[f32; WIDE]>) {
        out.clear();
        let cpu = Cpu::detect();
        let lengths = self.lengths.chunks(TALL);
        for (numbers, lengths) in self.numbers.chunks(TALL * self.features).zip(lengths) {
            let mut dots = [[0.0; WIDE]; TALL];
            if lengths.len() == TALL {
                products(cpu, numbers, &panel.numbers, &mut dots);
            } else {
                for (numbers, dots) in numbers.chunks_exact(self.features).zip(&mut dots) {
                    products_of_one(cpu, numbers, &panel.numbers, dots);
                }
            }
            out.extend(lengths.iter().zip(&dots).map(|(&length, dots)| {
                std::array::from_fn(|column| cosine(dots[column], length, panel.lengths[column]))
            }));
        }
    }
}

by_cpu! {
    fn products[](rows: &[f64], panel: &[[f32; WIDE]], dots: &mut [[f64; WIDE]; TALL]) {
        let features = panel.len();
        let (a, rest) = rows.split_at(features);
        let (b, rest) = rest.split_at(features);
        let (c, d) = rest.split_at(features);
        let mut sums = *dots;
        for ((((columns, &a), &b), &c), &d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
            let columns = columns.map(f64::from);
            for (sums, number) in sums.iter_mut().zip([a, b, c, d]) {
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum += number * column;
                }
            }
        }
        *dots = sums;
    }
}

by_cpu! {
    fn products_of_one[](row: &[f64], panel: &[[f32; WIDE]], dots: &mut [f64; WIDE]) {
        for (columns, &number) in panel.iter().zip(row) {
            for (sum, &column) in dots.iter_mut().zip(columns) {
                *sum += number * f64::from(column);
            }
        }
    }
}
