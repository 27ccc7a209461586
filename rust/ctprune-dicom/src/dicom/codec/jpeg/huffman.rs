//! Huffman tables (annex C), as look-up tables.

use super::super::bits::{BitReader, extend};
use crate::error::ReadError;

/// Bits that the first look-up sees. Most codes of CT, with the bits of their value, are not longer.
const LOOKUP_BITS: u32 = 12;

/// What the next bits hold, for each of the values they can have.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The decoded number, if `total` is not 0.
    number: i16,
    /// The value of the code: a category, or run and category.
    symbol: u8,
    /// Length of the code; 0: longer than the look-up sees, or no code.
    code: u8,
    /// Length of the code and the bits of its number; 0: together longer than the look-up sees.
    total: u8,
}

/// A Huffman table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    lookup: Vec<Entry>,
    /// For each code length: the first code that is longer, aligned to 16 bits.
    limit: [u32; 17],
    /// For each code length: what to add to a code to get the index of its value.
    offset: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// A table of `counts[n]` codes of `n + 1` bits for the values in order.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, ReadError> {
        let mut table = Table {
            lookup: vec![Entry::default(); 1 << LOOKUP_BITS],
            limit: [0; 17],
            offset: [0; 17],
            values: values.to_vec(),
        };
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16 {
            let count = usize::from(counts[length as usize - 1]);
            table.offset[length as usize] = index as i32 - code as i32;
            for &symbol in values
                .get(index..index + count)
                .ok_or(ReadError::Invalid("a Huffman table has fewer values than codes"))?
            {
                if code >> length != 0 {
                    return Err(ReadError::Invalid(
                        "a Huffman table has more codes than fit in their length",
                    ));
                }
                table.enter(code, length, symbol);
                code += 1;
            }
            index += count;
            table.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Enters a code into all entries of the look-up that begin with it.
    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        let Some(spare) = LOOKUP_BITS.checked_sub(length) else {
            return;
        };
        let category = u32::from(symbol & 15);
        for tail in 0..1u32 << spare {
            let mut entry = Entry {
                symbol,
                code: length as u8,
                ..Entry::default()
            };
            if category <= spare && symbol != 16 {
                let bits = tail >> (spare - category);
                entry.number = extend(bits, category) as i16;
                entry.total = (length + category) as u8;
            }
            self.lookup[(code << spare | tail) as usize] = entry;
        }
    }

    /// The next number of a lossless scan or of DC: a category and as many bits (F.2.2.1, H.2.2). Uses up to
    /// 32 bits, which must be available; `None` where no code fits.
    #[inline]
    pub fn number(&self, reader: &mut BitReader<'_>) -> Option<i32> {
        let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
        if entry.total != 0 {
            reader.consume(u32::from(entry.total));
            return Some(i32::from(entry.number));
        }
        self.long_number(reader, entry)
    }

    #[cold]
    fn long_number(&self, reader: &mut BitReader<'_>, entry: Entry) -> Option<i32> {
        match self.symbol_of(reader, entry)? {
            // Only lossless has this category: a difference of 32768 without further bits.
            16 => Some(1 << 15),
            symbol => Some(rest_of_number(reader, symbol)),
        }
    }

    /// The next run and number of AC: the symbol, then a number of as many bits as its lower half says.
    #[inline]
    pub fn run_and_number(&self, reader: &mut BitReader<'_>) -> Option<(u8, i32)> {
        let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
        if entry.total != 0 {
            reader.consume(u32::from(entry.total));
            return Some((entry.symbol, i32::from(entry.number)));
        }
        let symbol = self.symbol_of(reader, entry)?;
        Some((symbol, rest_of_number(reader, symbol)))
    }

    fn symbol_of(&self, reader: &mut BitReader<'_>, entry: Entry) -> Option<u8> {
        if entry.code != 0 {
            reader.consume(u32::from(entry.code));
            return Some(entry.symbol);
        }
        let next = reader.peek(16);
        let length = (LOOKUP_BITS + 1..=16).find(|&length| next < self.limit[length as usize])?;
        reader.consume(length);
        let code = (next >> (16 - length)) as i32;
        self.values
            .get((code + self.offset[length as usize]) as usize)
            .copied()
    }
}

/// The number behind the code of `symbol`, whose lower half says how many bits it has.
fn rest_of_number(reader: &mut BitReader<'_>, symbol: u8) -> i32 {
    let category = u32::from(symbol & 15);
    if category == 0 {
        return 0;
    }
    let bits = reader.peek(category);
    reader.consume(category);
    extend(bits, category)
}
