//! A share of an archive's files that one of several machines reads, told by their addresses alone.

use sha2::{Digest, Sha256};

/// One of so many shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: u32,
    of: u32,
}

impl Shard {
    /// Share `number`, from 1, of `of`; `None` when there is no such share.
    pub fn new(number: u32, of: u32) -> Option<Self> {
        let index = number.checked_sub(1).filter(|&index| index < of)?;
        Some(Self { index, of })
    }

    /// Whether the file with this address belongs to it.
    ///
    /// By SHA-256: every machine and every version agrees, and the shares come out even whatever names look like.
    pub fn holds(&self, address: &str) -> bool {
        let digest = Sha256::digest(whole(address));
        let head = digest.first_chunk().expect("a digest has 32 bytes");
        u64::from_be_bytes(*head) % u64::from(self.of) == u64::from(self.index)
    }
}

/// The file that an address leads to or into: the members of a container stay together.
fn whole(address: &str) -> &str {
    address
        .split_once("!/")
        .map_or(address, |(container, _)| container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_belongs_to_one_share() {
        for of in [1, 2, 7] {
            let mut sizes = vec![0; of as usize];
            for file in 0..2000 {
                let address = format!("/archive/{}/{file}.dcm", file % 10);
                let holders: Vec<u32> = (1..=of)
                    .filter(|&number| Shard::new(number, of).unwrap().holds(&address))
                    .collect();
                assert_eq!(holders.len(), 1, "{address}");
                sizes[holders[0] as usize - 1] += 1;
            }
            let even = 2000 / of;
            assert!(
                sizes.iter().all(|&size: &u32| size.abs_diff(even) < even / 3),
                "{sizes:?}"
            );
        }
    }

    /// Other machines may run other versions: the shares must stay what they are.
    #[test]
    fn shares_are_pinned() {
        let of = |address: &str| (1..=100).find(|&number| Shard::new(number, 100).unwrap().holds(address));
        assert_eq!(of("/archive/a/b.dcm"), Some(14));
        assert_eq!(of("s3://bucket/series/1.dcm"), Some(94));
    }

    #[test]
    fn members_of_a_container_stay_together() {
        assert_eq!(whole("/a/b.dcm"), "/a/b.dcm");
        assert_eq!(whole("/a/b.zip!/c.dcm"), "/a/b.zip");
        assert_eq!(whole("/a/b.tar.gz!/c/d.dcm"), "/a/b.tar.gz");
        assert_eq!(whole("/a/b.ZIP!/c.tar!/d.dcm"), "/a/b.ZIP");
    }

    #[test]
    fn there_is_no_share_beyond_the_last() {
        assert!(Shard::new(0, 3).is_none() && Shard::new(4, 3).is_none() && Shard::new(1, 0).is_none());
    }
}
