//! Streams that someone has damaged: an error or a picture, nothing else.

use crate::codec::{Picture, encode};
use crate::{changes_of_order, layered, precincts, tiles};
use ctprune_jpeg2000::{Decoder, Error};

fn try_decode(codestream: &[u8], rows: usize, columns: usize) -> Result<(), Error> {
    Decoder::default().decode(codestream, (rows, columns), &mut vec![0; 2 * rows * columns])
}

/// Streams with all that the format offers.
fn streams() -> Vec<Vec<u8>> {
    let picture = Picture::new(43, 39, 12, false);
    vec![
        encode(&picture, (0, 0), |_| {}),
        encode(&picture, (5, 6), |p| {
            tiles(p);
            precincts(p);
            layered(p);
            p.mode = 63;
        }),
        encode(&picture, (0, 0), |p| p.irreversible = 1),
        encode(&picture, (0, 0), |p| {
            changes_of_order(p);
            precincts(p);
        }),
        encode(&Picture::new(43, 39, 8, false), (0, 0), |p| p.roi_shift = 12),
        include_bytes!("ht.j2c").to_vec(),
    ]
}

#[test]
fn a_stream_cut_short_is_refused() {
    for stream in streams() {
        let packets_end = stream.len() - 2;
        for length in (0..packets_end).step_by(7) {
            assert!(try_decode(&stream[..length], 43, 39).is_err(), "{length} bytes");
        }
    }
}

#[test]
fn a_stream_with_wrong_bytes_does_no_harm() {
    let mut seed = 7u64;
    let mut next = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % limit
    };
    for stream in streams() {
        for _ in 0..1500 {
            let mut damaged = stream.clone();
            for _ in 0..=next(3) {
                let at = if next(2) == 0 {
                    next(120)
                } else {
                    next(stream.len())
                };
                damaged[at] = next(256) as u8;
            }
            let _ = try_decode(&damaged, 43, 39);
        }
    }
}

#[test]
fn another_size_than_announced_is_refused() {
    let stream = &streams()[0];
    assert_eq!(
        try_decode(stream, 39, 43),
        Err(Error::Size {
            expected: (39, 43),
            found: (43, 39)
        })
    );
    let short = Decoder::default().decode(stream, (43, 39), &mut [0; 9]);
    assert_eq!(
        short,
        Err(Error::TargetBytes {
            expected: 2 * 43 * 39,
            found: 9
        })
    );
}

#[test]
fn what_is_not_decoded_is_named() {
    let stream = &streams()[0];
    let mut components = stream.clone();
    components[41] = 3;
    assert_eq!(
        try_decode(&components, 43, 39),
        Err(Error::Unsupported("several components"))
    );
    let mut deep = stream.clone();
    deep[42] = 23;
    assert_eq!(
        try_decode(&deep, 43, 39),
        Err(Error::Unsupported("more than 16 bits per sample"))
    );
    // The comment becomes packed packet headers.
    let at = stream
        .windows(2)
        .position(|marker| marker == [0xFF, 0x64])
        .unwrap();
    let mut changed = stream.clone();
    changed[at + 1] = 0x60;
    assert_eq!(
        try_decode(&changed, 43, 39),
        Err(Error::Unsupported("packed packet headers"))
    );
}

#[test]
fn bookkeeping_is_limited() {
    // Precincts of one sample in a large image.
    let picture = Picture::new(43, 39, 12, false);
    let mut stream = encode(&picture, (0, 0), |p| {
        p.numresolution = 1;
        precincts(p);
    });
    stream[8..16].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    stream[24..32].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let cod = stream
        .windows(2)
        .position(|marker| marker == [0xFF, 0x52])
        .unwrap();
    stream[cod + 14] = 0;
    assert_eq!(
        Decoder::default().decode(&stream, (1 << 14, 1 << 14), &mut vec![0; 1 << 29]),
        Err(Error::Unsupported("very many code-blocks or precincts"))
    );
}
