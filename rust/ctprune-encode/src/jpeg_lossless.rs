//! JPEG Lossless, process 14, selection value 1 (ITU-T T.81 Annex H): each sample is predicted by its left
//! neighbor; the difference is written as a Huffman-coded category and that many extra bits.

use super::Frame;
use super::bits::{BitWriter, Stuffing};
use super::huffman::{Code, SYMBOLS};

/// JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 \[Selection Value 1\]).
pub const UID: &str = "1.2.840.10008.1.2.4.70";

/// Encodes one frame as a JPEG codestream with a Huffman table made for it.
pub fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let differences = differences(frame);
    let mut counts = [0u64; SYMBOLS];
    differences
        .iter()
        .for_each(|&d| counts[usize::from(category(d))] += 1);
    let code = Code::for_counts(&counts);
    let mut stream = headers(frame, &code);
    write_scan(&differences, &code, &mut stream);
    stream.extend([0xFF, 0xD9]); // EOI
    stream
}

/// Sample minus prediction, modulo 2^16 (H.1.2.1): the left neighbor, in the first column the one above,
/// and half the range for the very first sample.
fn differences(frame: &Frame<'_>) -> Vec<i16> {
    let words = frame.words();
    let mut above = 1u16 << (frame.bits_stored - 1);
    let mut differences = Vec::with_capacity(words.len());
    for row in words.chunks_exact(usize::from(frame.columns)) {
        let mut predicted = above;
        above = row[0];
        for &word in row {
            differences.push(word.wrapping_sub(predicted) as i16);
            predicted = word;
        }
    }
    differences
}

/// SSSS: the number of bits of the magnitude; 16 only for -32768 (Table H.2).
fn category(difference: i16) -> u8 {
    (u16::BITS - difference.unsigned_abs().leading_zeros()) as u8
}

fn headers(frame: &Frame<'_>, code: &Code) -> Vec<u8> {
    let ([y0, y1], [x0, x1]) = (frame.rows.to_be_bytes(), frame.columns.to_be_bytes());
    let mut stream = vec![0xFF, 0xD8]; // SOI
    // SOF3: length, precision, lines, samples per line, one component: id 1, 1 × 1 sampling, no quantization.
    stream.extend([
        0xFF,
        0xC3,
        0,
        11,
        frame.bits_stored,
        y0,
        y1,
        x0,
        x1,
        1,
        1,
        0x11,
        0,
    ]);
    let symbols = code.symbols_by_length();
    stream.extend([0xFF, 0xC4, 0, (19 + symbols.len()) as u8, 0]); // DHT: table 0
    stream.extend(code.counts_by_length());
    stream.extend(symbols);
    // SOS: one component with table 0, predictor 1, no point transform.
    stream.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 0, 0]);
    stream
}

fn write_scan(differences: &[i16], code: &Code, stream: &mut Vec<u8>) {
    let mut bits = BitWriter::new(stream, Stuffing::Byte);
    for &difference in differences {
        let ssss = category(difference);
        let symbol = usize::from(ssss);
        bits.put(code.bits[symbol].into(), code.lengths[symbol].into());
        if ssss < 16 {
            // F.1.2.1: a negative difference is sent as the low bits of itself minus one.
            let extra = if difference < 0 {
                difference.wrapping_sub(1)
            } else {
                difference
            };
            bits.put(u32::from(extra as u16) & ((1 << ssss) - 1), ssss.into());
        }
    }
    bits.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_frames;

    /// Reads bits, dropping the stuffed zero bytes.
    struct Bits<'a>(&'a [u8], usize, u8);

    impl Bits<'_> {
        fn next(&mut self) -> u32 {
            let bit = self.0[self.1] >> (7 - self.2) & 1;
            self.2 += 1;
            if self.2 == 8 {
                self.1 += if self.0[self.1] == 0xFF { 2 } else { 1 };
                self.2 = 0;
            }
            u32::from(bit)
        }
    }

    /// The plain reading of Annex H for the streams written here.
    fn decode(stream: &[u8], rows: usize, columns: usize, bits_stored: u8) -> Vec<u16> {
        let dht = 2 + 13;
        let (counts, symbols) = (&stream[dht + 5..dht + 21], &stream[dht + 21..]);
        let scan = dht + 21 + counts.iter().map(|&c| usize::from(c)).sum::<usize>() + 10;
        let mut bits = Bits(stream, scan, 0);
        let mut values = vec![0u16; rows * columns];
        for i in 0..values.len() {
            let predicted = match (i / columns, i % columns) {
                (0, 0) => 1 << (bits_stored - 1),
                (_, 0) => values[i - columns],
                _ => values[i - 1],
            };
            values[i] = predicted.wrapping_add(read_difference(&mut bits, counts, symbols));
        }
        values
    }

    fn read_difference(bits: &mut Bits<'_>, counts: &[u8], symbols: &[u8]) -> u16 {
        let (mut code, mut first, mut index) = (0u32, 0u32, 0usize);
        for &count in counts {
            code = code << 1 | bits.next();
            if code - first < u32::from(count) {
                let ssss = symbols[index + (code - first) as usize];
                if ssss == 16 {
                    return 32768;
                }
                let extra = (0..ssss).fold(0, |value, _| value << 1 | bits.next());
                let negative = ssss > 0 && extra < 1 << (ssss - 1);
                return if negative {
                    extra.wrapping_sub((1 << ssss) - 1) as u16
                } else {
                    extra as u16
                };
            }
            index += usize::from(count);
            first = (first + u32::from(count)) << 1;
        }
        panic!("no such code");
    }

    #[test]
    fn frames_survive_the_round_trip() {
        test_frames::for_each(|frame| {
            let (rows, columns) = (usize::from(frame.rows), usize::from(frame.columns));
            assert_eq!(
                decode(&encode(frame), rows, columns, frame.bits_stored),
                frame.words()
            );
        });
    }

    #[test]
    fn categories_are_those_of_table_h2() {
        let expected = [
            (0, 0),
            (1, 1),
            (-1, 1),
            (3, 2),
            (-4, 3),
            (255, 8),
            (32767, 15),
            (-32768, 16),
        ];
        assert!(
            expected
                .iter()
                .all(|&(difference, ssss)| category(difference) == ssss)
        );
    }
}
