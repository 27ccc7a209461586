//! Many short texts, one after the other in one buffer: a text costs its bytes and where it ends.

/// Texts by number.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<u64>,
}

impl Texts {
    /// Add a text; its number is the number of texts before.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u64);
    }

    /// The text with this number.
    pub fn get(&self, number: usize) -> &str {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[number] as usize]
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
}
