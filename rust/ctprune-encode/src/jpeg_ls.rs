//! JPEG-LS lossless (ITU-T T.87) of one component with default parameters: NEAR is 0 throughout.

use ctprune_dicom::jpeg_ls::{Model, Parameters, Preset, signed, signed_context};

use super::Frame;
use super::bits::{BitWriter, Stuffing};

/// JPEG-LS Lossless Image Compression.
pub const UID: &str = "1.2.840.10008.1.2.4.80";

/// Encodes one frame; the codestream's precision is BitsStored.
pub fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let parameters = Parameters::new(frame.bits_stored.into(), 0, Preset::default())
        .expect("a frame has 2 to 16 bits, for which all defaults are valid");
    let mut stream = headers(frame, &parameters);
    write_scan(frame, &parameters, &mut stream);
    stream.extend([0xFF, 0xD9]); // EOI
    stream
}

fn headers(frame: &Frame<'_>, parameters: &Parameters) -> Vec<u8> {
    let ([y0, y1], [x0, x1]) = (frame.rows.to_be_bytes(), frame.columns.to_be_bytes());
    let mut stream = vec![0xFF, 0xD8]; // SOI
    // SOF55: length, precision, lines, samples per line, one component: id 1, 1 × 1 sampling, no quantization.
    let component = [1, 1, 0x11, 0];
    stream.extend([0xFF, 0xF7, 0, 11, frame.bits_stored, y0, y1, x0, x1]);
    stream.extend(component);
    // Some readers, Java Advanced Imaging among them, know no defaults above 12 bits: LSE spells them out.
    if frame.bits_stored > 12 {
        let [t1, t2, t3] = parameters.thresholds;
        stream.extend([0xFF, 0xF8, 0, 13, 1]);
        for number in [parameters.max, t1, t2, t3, parameters.reset] {
            stream.extend((number as u16).to_be_bytes());
        }
    }
    // SOS: one component without mapping table, NEAR 0, no interleaving, no point transform.
    stream.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0]);
    stream
}

fn write_scan(frame: &Frame<'_>, parameters: &Parameters, stream: &mut Vec<u8>) {
    let mut scan = Scan {
        model: Model::new(parameters),
        bits: BitWriter::new(stream, Stuffing::Bit),
    };
    let columns = usize::from(frame.columns);
    // One more sample on either side: the neighbors of the first and the last (A.2.1).
    let (mut above, mut line) = (vec![0; columns + 2], vec![0; columns + 2]);
    for words in frame.words().chunks_exact(columns) {
        above[columns + 1] = above[columns];
        line[0] = above[1];
        let samples = &mut line[1..=columns];
        samples
            .iter_mut()
            .zip(words)
            .for_each(|(sample, &word)| *sample = word.into());
        scan.line(&above, &line[..=columns]);
        std::mem::swap(&mut above, &mut line);
    }
    scan.bits.finish();
}

struct Scan<'a> {
    model: Model<'a>,
    bits: BitWriter<'a>,
}

impl Scan<'_> {
    /// Encodes one line, whose samples begin at 1.
    fn line(&mut self, above: &[i32], line: &[i32]) {
        let mut at = 1;
        while at < line.len() {
            // A.3.1: a, b, c, d are left, above, above left, above right.
            let (a, b, c, d) = (line[at - 1], above[at], above[at - 1], above[at + 1]);
            let [right, left, below] = [d - b, b - c, c - a].map(|gradient| self.model.region(gradient));
            match signed_context(right, left, below) {
                0 => at = self.run(above, line, at),
                context => {
                    self.regular(context, [a, b, c], line[at]);
                    at += 1;
                }
            }
        }
    }

    /// A sample in the regular mode (A.4 to A.6).
    fn regular(&mut self, signed_context: i32, neighbors: [i32; 3], sample: i32) {
        let parameters = self.model.parameters;
        let context = &mut self.model.contexts[signed_context.unsigned_abs() as usize];
        let sign = signed_context >> 31;
        let prediction = context.predict(sign, neighbors, parameters.max);
        let error = wrapped(signed(sample - prediction, sign), parameters.range);
        let k = context.golomb();
        // A.5.2: even and odd are the signs; `x ^ −1` is −1 − x.
        let exchanged = error ^ context.exchange(k, parameters.near);
        let mapped = exchanged << 1 ^ exchanged >> 31;
        context.update(error, parameters.near, parameters.reset);
        self.code(mapped, k, parameters.limit);
    }

    /// A run of samples like the one to the left, and the one that ends it (A.7); returns the next column.
    fn run(&mut self, above: &[i32], line: &[i32], start: usize) -> usize {
        let value = line[start - 1];
        let mut length = line[start..].iter().take_while(|&&s| s == value).count();
        let end = start + length;
        while length >= 1 << self.model.run_order() {
            length -= 1 << self.model.run_order();
            self.bits.put(1, 1);
            self.model.expect_longer_run();
        }
        if end == line.len() {
            // The end of the line cuts the run short: the decoder knows how many samples are left.
            if length > 0 {
                self.bits.put(1, 1);
            }
            return end;
        }
        let order = self.model.run_order();
        self.bits.put(length as u32, 1 + order);
        self.run_end(value, above[end], line[end], order);
        self.model.expect_shorter_run();
        end + 1
    }

    /// The sample that ends a run (A.7.2), whose left and upper neighbors are a and b.
    fn run_end(&mut self, a: i32, b: i32, sample: i32, order: u32) {
        let parameters = self.model.parameters;
        let alike = i32::from(a == b);
        let context = &mut self.model.run_contexts[alike as usize];
        // Where a and b are alike, b is as good as a.
        let sign = -i32::from(a > b);
        let error = wrapped(signed(sample - b, sign), parameters.range);
        let k = context.golomb(alike);
        let is_odd = error != 0 && (error < 0) == context.negative_is_odd(k);
        let mapped = 2 * error.abs() - alike - i32::from(is_odd);
        context.update(error, mapped, alike, parameters.reset);
        self.code(mapped, k, parameters.limit - order - 1);
    }

    /// A Golomb code of at most `limit` bits (A.5.3).
    fn code(&mut self, mapped: i32, k: u32, limit: u32) {
        let parameters = self.model.parameters;
        let (mapped, escape) = (mapped as u32, parameters.escape(limit));
        let (zeros, low, bits) = if mapped >> k < escape {
            (mapped >> k, mapped & ((1 << k) - 1), k)
        } else {
            (escape, mapped - 1, parameters.error_bits)
        };
        self.bits.put(0, zeros);
        self.bits.put(1 << bits | low, 1 + bits);
    }
}

/// The error modulo RANGE that is nearest to 0 (A.4.5).
fn wrapped(error: i32, range: i32) -> i32 {
    let error = error.rem_euclid(range);
    if error < (range + 1) / 2 {
        error
    } else {
        error - range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charls::{STREAMS, decoded};
    use crate::{Samples, test_frames};

    #[test]
    fn frames_survive_the_round_trip() {
        test_frames::for_each(|frame| {
            let (rows, columns) = (frame.rows.into(), frame.columns.into());
            assert_eq!(
                decoded(&encode(frame), rows, columns, frame.bits_stored),
                frame.words()
            );
        });
    }

    #[test]
    fn streams_are_those_of_charls() {
        for known in &STREAMS {
            let values = known.values();
            let frame = Frame::new(known.rows, known.columns, known.bits, Samples::U16(&values)).unwrap();
            assert_eq!(encode(&frame), known.stream, "{known:?}");
        }
    }

    #[test]
    fn errors_wrap_to_half_the_range_on_either_side() {
        assert_eq!([-8, -9, 7, 8].map(|error| wrapped(error, 16)), [-8, 7, 7, -8]);
        assert_eq!([-15, 15].map(|error| wrapped(error, 16)), [1, -1]);
    }
}
