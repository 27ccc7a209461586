//! Many short texts, one after the other in one buffer: a text costs its bytes and four for where it ends.

/// Texts by number.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    /// Where each ends, from where its block begins.
    ends: Vec<u32>,
    /// Where each block begins.
    starts: Vec<u64>,
}

/// Texts of a block.
const BLOCK: usize = 256;

/// Most bytes of a text, so that a block's can be counted; no path is nearly as long.
const MOST: usize = 1 << 23;

impl Texts {
    /// Add a text; its number is the number of texts before. Of one of more than 8 MiB only these.
    pub fn push(&mut self, text: &str) {
        if self.ends.len().is_multiple_of(BLOCK) {
            self.starts.push(self.text.len() as u64);
        }
        let mut end = text.len().min(MOST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        let start = self.starts[self.ends.len() / BLOCK];
        self.ends.push((self.text.len() as u64 - start) as u32);
    }

    /// The text with this number.
    pub fn get(&self, number: usize) -> &str {
        let block = self.starts[number / BLOCK] as usize;
        let end = |number: usize| block + self.ends[number] as usize;
        let start = if number.is_multiple_of(BLOCK) {
            block
        } else {
            end(number - 1)
        };
        &self.text[start..end(number)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let mut texts = Texts::default();
        let all = ["", "1.2.840", "é", "", "9"];
        all.into_iter().for_each(|text| texts.push(text));
        for (number, text) in all.into_iter().enumerate() {
            assert_eq!(texts.get(number), text);
        }
    }

    #[test]
    fn texts_of_many_blocks_come_back() {
        let mut texts = Texts::default();
        let text = |number: usize| "x".repeat(number % 7) + &number.to_string();
        (0..3 * BLOCK + 1).for_each(|number| texts.push(&text(number)));
        assert!((0..3 * BLOCK + 1).all(|number| texts.get(number) == text(number)));
    }
}
