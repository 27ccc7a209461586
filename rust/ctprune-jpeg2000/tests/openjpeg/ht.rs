//! HTJ2K. OpenJPEG does not encode it: the streams are OpenJPH's, of [`Picture::new`]; `make.py` made them.

use crate::codec::{Picture, decode};
use crate::decoded;

#[test]
fn without_loss() {
    let streams: [(&[u8], Picture); 4] = [
        (include_bytes!("ht.j2c"), Picture::new(43, 39, 12, false)),
        (include_bytes!("ht_signed.j2c"), Picture::new(70, 131, 16, true)),
        (include_bytes!("ht_bytes.j2c"), Picture::new(5, 66, 8, false)),
        (include_bytes!("ht_one_row.j2c"), Picture::new(1, 9, 16, false)),
    ];
    for (stream, picture) in streams {
        let ours = decoded(stream, picture.rows, picture.columns, picture.precision);
        assert!(ours == picture.bytes(), "not the values encoded");
        assert_eq!(decode(stream).bytes(), ours);
    }
}

#[test]
fn with_loss() {
    let stream = include_bytes!("ht_lossy.j2c");
    assert!(decoded(stream, 70, 131, 16) == decode(stream).bytes());
}
