//! From names to pseudonyms: HMAC-SHA-256 with the user's key, of another domain for each kind of name.
//!
//! The same name and key give the same pseudonym in every run. Without the key nobody can try names out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How the pseudonym of a source begins; the key's fingerprint follows, a dash and the hash.
pub const PREFIX: &str = "pseudonym:";

/// The shortest key in bytes: that of a full hash.
pub const MIN_KEY_BYTES: usize = 32;

/// Endings that say what a file is, and nothing of its name; the longer ones first.
const ENDINGS: [&str; 18] = [
    ".tar.zst!",
    ".tar.gz!",
    ".nii.gz",
    ".tiff",
    ".jpeg",
    ".dicom",
    ".tzst!",
    ".tgz!",
    ".zip!",
    ".tar!",
    ".dcm",
    ".ima",
    ".nii",
    ".png",
    ".jpg",
    ".tif",
    ".hdr",
    ".img",
];

/// What kind of name: equal names of two kinds have different pseudonyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Absolute path of a source.
    Source,
    /// Path below a source.
    Path,
    /// Study Instance UID.
    Study,
    /// Series Instance UID.
    Series,
    /// SOP Instance UID.
    Instance,
    /// A Frame of Reference UID.
    FrameOfReference,
}

impl Kind {
    /// Its name in the table of pseudonyms, and the domain of the hash.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Path => "path",
            Kind::Study => "study_instance_uid",
            Kind::Series => "series_instance_uid",
            Kind::Instance => "sop_instance_uid",
            Kind::FrameOfReference => "frame_of_reference_uid",
        }
    }
}

/// A secret key. It shows itself nowhere.
#[derive(Clone)]
pub struct Key {
    keyed: Hmac<Sha256>,
    fingerprint: String,
}

impl Key {
    /// A key of these bytes, at least [`MIN_KEY_BYTES`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < MIN_KEY_BYTES {
            return None;
        }
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        let mut key = Self {
            keyed,
            fingerprint: String::new(),
        };
        key.fingerprint = format!("{:016x}", key.hash("key", "") >> 64);
        Some(key)
    }

    /// What tells this key from others; it says nothing of the key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The pseudonym of a UID: a valid one, a UUID below 2.25 (PS3.5 section B.2). None stays none.
    pub fn uid(&self, kind: Kind, uid: &str) -> String {
        if uid.is_empty() {
            return String::new();
        }
        // RFC 9562, version 8: 122 bits are free.
        let hash = self.hash(kind.name(), uid) & !(0xf << 76) & !(0x3 << 62);
        format!("2.25.{}", hash | 0x8 << 76 | 0x2 << 62)
    }

    /// The pseudonym of a source, with the key's fingerprint.
    pub fn source(&self, source: &str) -> String {
        let hash = self.hash(Kind::Source.name(), source);
        format!("{PREFIX}{}-{hash:032x}", self.fingerprint)
    }

    /// The pseudonym of a path below a source, name by name: what lies in one folder still does.
    pub fn path(&self, path: &str) -> String {
        let mut pseudonym = String::new();
        let mut start = 0;
        for name in path.split('/') {
            if start > 0 {
                pseudonym.push('/');
            }
            let end = start + name.len();
            if !name.is_empty() {
                // With the folders before it, so that equal names in two folders look different.
                let hash = self.hash(Kind::Path.name(), &path[..end]);
                pseudonym.push_str(&format!("{hash:032x}{}", ending(name)));
            }
            start = end + 1;
        }
        pseudonym
    }

    /// The hash in a path's pseudonym that stands for the whole path.
    pub fn path_hash(&self, path: &str) -> u128 {
        self.hash(Kind::Path.name(), path)
    }

    fn hash(&self, domain: &str, text: &str) -> u128 {
        let mut keyed = self.keyed.clone();
        keyed.update(b"ctprune ");
        keyed.update(domain.as_bytes());
        keyed.update(b"\0");
        keyed.update(text.as_bytes());
        let whole = keyed.finalize().into_bytes();
        let (half, _) = whole.split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
        u128::from_be_bytes(*half)
    }
}

/// The hash of a path's pseudonym: that of its last name.
pub fn hash_in(pseudonym: &str) -> Option<u128> {
    let name = pseudonym.rsplit('/').next()?;
    u128::from_str_radix(name.get(..32)?, 16).ok()
}

fn ending(name: &str) -> &'static str {
    let lower = name.to_ascii_lowercase();
    let known = |ending: &&&str| lower.len() > ending.len() && lower.ends_with(**ending);
    ENDINGS.iter().find(known).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn uids_are_valid_and_differ_by_kind_and_key() {
        let uid = key(1).uid(Kind::Series, "1.2.840.1");
        let number: u128 = uid.strip_prefix("2.25.").unwrap().parse().unwrap();
        assert_eq!((number >> 76 & 0xf, number >> 62 & 0x3), (8, 2));
        assert!(uid.len() <= 44);
        assert_eq!(uid, key(1).uid(Kind::Series, "1.2.840.1"));
        let others = [
            key(1).uid(Kind::Study, "1.2.840.1"),
            key(1).uid(Kind::Series, "1.2.840.2"),
            key(2).uid(Kind::Series, "1.2.840.1"),
        ];
        assert!(others.iter().all(|other| *other != uid));
        assert_eq!(key(1).uid(Kind::Study, ""), "");
    }

    #[test]
    fn paths_keep_their_depth_and_what_kind_of_file_it_is() {
        let key = key(3);
        let (a, b) = (key.path("Doe^John/ct/1.DCM"), key.path("Doe^John/ct/2.nii.gz"));
        let (of_a, of_b): (Vec<_>, Vec<_>) = (a.split('/').collect(), b.split('/').collect());
        assert_eq!((of_a.len(), &of_a[..2]), (3, &of_b[..2]));
        assert!(of_a[2].len() == 36 && of_a[2].ends_with(".dcm"), "{a}");
        assert!(of_b[2].len() == 39 && of_b[2].ends_with(".nii.gz"), "{b}");
        assert_eq!(key.path("x.zip!/y/").matches('/').count(), 2);
        assert!(key.path("x.zip!/y").contains(".zip!/"));
        assert_eq!(key.path("Dr.Smith").len(), 32);
        assert_ne!(key.path("a/x"), key.path("b/x"));
        assert_eq!(hash_in(&a), Some(key.path_hash("Doe^John/ct/1.DCM")));
        assert_eq!(hash_in("plain.dcm"), None);
        assert_eq!(key.path(""), "");
    }

    /// Against a table that another implementation of HMAC-SHA-256 gave (Python's `hmac`).
    #[test]
    fn hashes_are_hmac_sha_256() {
        assert_eq!(format!("{:032x}", key(1).path_hash("a/b")), EXPECTED);
    }

    const EXPECTED: &str = "4d74f7dcadc67613d83c5e22aaa59c4f";

    #[test]
    fn short_keys_are_refused() {
        assert!(Key::new(&[1; 31]).is_none());
        assert_eq!(key(1).fingerprint().len(), 16);
        assert_ne!(key(1).fingerprint(), key(2).fingerprint());
        assert!(key(1).source("/data").starts_with("pseudonym:"));
    }
}
