//! JPEG streams as simple as can be: one code length for everything.

/// Bits, most significant first, with stuffing.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    buffer: u64,
    filled: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, count: u32) {
        self.buffer = self.buffer << count | u64::from(bits);
        self.filled += count;
        while self.filled >= 8 {
            self.filled -= 8;
            self.push((self.buffer >> self.filled) as u8);
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte == 0xFF {
            self.bytes.push(0);
        }
    }

    /// A number: its category in five bits (the codes of [`numbers_table`]), then its own.
    fn number(&mut self, number: i32) {
        let category = 32 - number.unsigned_abs().leading_zeros();
        self.put(category, 5);
        if category > 0 && category < 16 {
            let bits = if number < 0 { number - 1 } else { number };
            self.put(bits as u32 & ((1 << category) - 1), category);
        }
    }

    /// Fills the last byte with ones and ends the interval.
    fn align(&mut self) {
        let spare = (8 - self.filled % 8) % 8;
        self.put((1 << spare) - 1, spare);
    }
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [0xFF, marker]
        .into_iter()
        .chain(length)
        .chain(body.iter().copied())
        .collect()
}

/// Table 0 of class DC: category n has the five-bit code n.
fn numbers_table() -> Vec<u8> {
    let mut body = vec![0; 17];
    body[5] = 17;
    body.extend(0..=16);
    segment(0xC4, &body)
}

fn frame_header(marker: u8, precision: u16, rows: u16, columns: u16) -> Vec<u8> {
    let ([r0, r1], [c0, c1]) = (rows.to_be_bytes(), columns.to_be_bytes());
    segment(marker, &[precision as u8, r0, r1, c0, c1, 1, 1, 0x11, 0])
}

/// How [`lossless`] encodes.
#[derive(Clone, Copy)]
pub struct Lossless {
    pub columns: usize,
    pub precision: u16,
    pub predictor: u8,
    /// Rows between restarts; 0 for none.
    pub restart_rows: usize,
    /// Point transform: bits that are dropped.
    pub transform: u16,
}

/// A lossless JPEG stream (process 14).
pub fn lossless(values: &[u16], shape: Lossless) -> Vec<u8> {
    let Lossless {
        columns,
        precision,
        predictor,
        restart_rows,
        transform,
    } = shape;
    let rows = values.len() / columns;
    let mut stream = vec![0xFF, 0xD8];
    stream.extend(frame_header(0xC3, precision, rows as u16, columns as u16));
    stream.extend(numbers_table());
    stream.extend(segment(0xDD, &((restart_rows * columns) as u16).to_be_bytes()));
    stream.extend(segment(0xDA, &[1, 1, 0, predictor, 0, transform as u8]));
    let per_interval = if restart_rows == 0 { rows } else { restart_rows };
    for (n, interval) in values.chunks(per_interval * columns).enumerate() {
        if n > 0 {
            stream.extend([0xFF, 0xD0 + (n as u8 - 1) % 8]);
        }
        let samples: Vec<i32> = interval.iter().map(|&v| i32::from(v >> transform)).collect();
        let mut bits = Bits::default();
        for at in 0..samples.len() {
            let difference =
                samples[at] - prediction(&samples, at, columns, predictor, precision - transform);
            // Modulo 65536, as H.1.2.1 has it; 32768 rather than −32768.
            bits.number(match difference as i16 {
                i16::MIN => 32768,
                difference => i32::from(difference),
            });
        }
        bits.align();
        stream.extend(bits.bytes);
    }
    stream.extend([0xFF, 0xD9]);
    stream
}

fn prediction(samples: &[i32], at: usize, columns: usize, predictor: u8, precision: u16) -> i32 {
    match (at / columns, at % columns) {
        (0, 0) => 1 << (precision - 1),
        (0, _) => samples[at - 1],
        (_, 0) => samples[at - columns],
        _ => {
            let (a, b, c) = (samples[at - 1], samples[at - columns], samples[at - columns - 1]);
            match predictor {
                1 => a,
                2 => b,
                3 => c,
                4 => a + b - c,
                5 => a + ((b - c) >> 1),
                6 => b + ((a - c) >> 1),
                _ => (a + b) >> 1,
            }
        }
    }
}

/// A 12-bit sequential JPEG stream whose blocks are flat; `steps` are the differences of their values.
pub fn twelve_bit_blocks(rows: u16, columns: u16, steps: &[i32]) -> Vec<u8> {
    let mut stream = vec![0xFF, 0xD8];
    // A DC coefficient is eight times the value of a flat block.
    let mut quantization = vec![0];
    quantization.extend([8; 64]);
    stream.extend(segment(0xDB, &quantization));
    stream.extend(frame_header(0xC1, 12, rows, columns));
    stream.extend(numbers_table());
    // AC: the one code `0` for the end of the block.
    let mut end_of_block = vec![0x10, 1];
    end_of_block.resize(18, 0);
    stream.extend(segment(0xC4, &end_of_block));
    stream.extend(segment(0xDA, &[1, 1, 0, 0, 63, 0]));
    let mut bits = Bits::default();
    for &step in steps {
        bits.number(step);
        bits.put(0, 1);
    }
    bits.align();
    stream.extend(bits.bytes);
    stream.extend([0xFF, 0xD9]);
    stream
}
