//! dHashes against ImageHash 4.3.2, and what the tests of all kinds share.

use super::*;
use crate::resample::PassOrder;

/// Picture, rows, columns, hash size and `imagehash.dhash` with Pillow 12.3, then with Pillow 13.0 where
/// that differs. The pictures are those of [`picture`].
const TRUTH: &str = "
    noise 1 1 8 0000000000000000
    noise 8 9 8 e8c7bad218262a74
    noise 64 64 8 c1b4955226a645d6
    noise 97 61 8 d4957226d29a7a15
    noise 512 512 8 492924c4b40a8569
    extreme 1 1 8 0000000000000000
    extreme 8 9 8 244128a854210840
    extreme 64 64 8 2e6b25595991a6a2
    extreme 97 61 8 6f654d95b3ad6cc8
    extreme 512 512 8 2072b4c4de2357d8
    ramp 1 1 8 0000000000000000
    ramp 8 9 8 ffffffffffffffff
    ramp 64 64 8 ffffffffffffffff
    ramp 97 61 8 ffffffffffffffff
    ramp 512 512 8 ffffffffffffffff
    waves 1 1 8 0000000000000000
    waves 8 9 8 ffffffffffffffff
    waves 64 64 8 f7e7efcede9cbc39
    waves 97 61 8 f7e7cf9ebc3973f3
    waves 512 512 8 20852085a104a104
    flat 1 1 8 0000000000000000
    flat 8 9 8 0000000000000000
    flat 64 64 8 0000000000000000
    flat 97 61 8 0000000000000000
    flat 512 512 8 0000000000000000
    disc 1 1 8 0000000000000000
    disc 8 9 8 0010385258662810
    disc 64 64 8 30f0d4d2e6c4f030
    disc 97 61 8 c430f0c4d4f030c4
    disc 512 512 8 30f0c4c4d4ccf030
    noise 1 200 8 3d3d3d3d3d3d3d3d
    noise 200 1 8 0000000000000000
    noise 7 5 8 dcf0c7e7e3000c1c
    extreme 300 40 8 2d8db94964b292c9 298db94964b292c9
    disc 1200 500 8 608270f0f0708260
    disc 1000 2000 8 10b271696971b210
    noise 2000 2000 8 85102241a89220a4
    noise 50 70 2 00
    extreme 31 33 5 1b0cb580
    disc 512 512 11 409789c8e0cd09b13426446337092200
    noise 256 256 16 99a24a64ad28aa53cb125b2565c695897595c13596f2339a599424db4a921c54
    disc 400 180 16 00000000000010604004bf027861ec3ce91c71513f8041041060000000000000 00000000000010604004bf027871ec3ce91c7151bf8241041060000000000000
    noise 100 100 32 d958f2b22b34b652a8ad3664ca4b4da26aceac92908d4d7153d76755349a4a6c9acaae6ab1ab852d335a896d9f16493763b4b696ab128b1935b258af58a655464c7b33426edca14a34c72166b8c34ed2634948a3c4f1a5ae5551b59676992a279cab5e744dc34adaaaad2e5a7535479dc4de2dc5939245d992aec6a4892321cc
";

/// Each line of `truth`: picture, rows, columns, hash size, and ImageHash's digits with Pillow 12.3, then with Pillow 13.0
/// where that differs.
pub(super) fn assert_equal_to_imagehash(kind: &'static Kind, truth: &str) {
    for line in truth.trim().lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [rows, columns, hash_size] = [1, 2, 3].map(|i| fields[i].parse().unwrap());
        let gray = picture(fields[0], rows, columns);
        let found = |order| digits(kind, order, &gray, rows, columns, hash_size);
        assert_eq!(found(PassOrder::HorizontalFirst), fields[4], "{line}");
        assert_eq!(found(PassOrder::ByShape), *fields.last().unwrap(), "{line}");
    }
}

/// Gray values by formula, so that any program can draw the same pictures.
pub(super) fn picture(kind: &str, rows: usize, columns: usize) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let noise = noise(x, y);
        match kind {
            "noise" => noise,
            "extreme" => noise % 2 * 255,
            "ramp" => (x as usize * 255 / (columns - 1).max(1)) as u8,
            "waves" => (x * 7 + y * 3) as u8,
            "disc" if in_disc(x, y, rows, columns) => noise / 2 + 64,
            "disc" => 0,
            _ => 77,
        }
    };
    let positions = (0..rows * columns).map(|i| ((i % columns) as u32, (i / columns) as u32));
    positions.map(|(x, y)| pixel(x, y)).collect()
}

fn noise(x: u32, y: u32) -> u8 {
    let mut bits = x
        .wrapping_mul(2_654_435_761)
        .wrapping_add(y.wrapping_mul(2_246_822_519));
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(2_246_822_519);
    (bits ^ bits >> 13) as u8
}

/// Inside a disc of 4/5 of the shorter side.
fn in_disc(x: u32, y: u32, rows: usize, columns: usize) -> bool {
    let square = |position: u32, length: usize| (2 * i64::from(position) - length as i64).pow(2);
    25 * (square(x, columns) + square(y, rows)) < 16 * (rows.min(columns) as i64).pow(2)
}

fn hex(words: &[u64], hash_size: usize) -> String {
    let digits: String = words.iter().map(|word| format!("{word:016x}")).collect();
    digits[..2 * bytes(hash_size)].to_string()
}

fn digits(
    kind: &'static Kind,
    order: PassOrder,
    gray: &[u8],
    rows: usize,
    columns: usize,
    hash_size: usize,
) -> String {
    let mut out = vec![u64::MAX; words(hash_size)];
    Engine::new(kind, hash_size, order)
        .unwrap()
        .hash(gray, rows, columns, &mut out);
    hex(&out, hash_size)
}

#[test]
fn dhashes_are_those_of_imagehash() {
    assert_equal_to_imagehash(&DHASH, TRUTH);
}

#[test]
fn one_engine_serves_many_sizes() {
    for kind in [&AHASH, &DHASH, &PHASH] {
        let mut engine = Engine::new(kind, 8, PassOrder::default()).unwrap();
        for size in (1..150).chain(1..10) {
            let gray = picture("noise", size, size + 3);
            let mut out = [0];
            engine.hash(&gray, size, size + 3, &mut out);
            assert_eq!(
                hex(&out, 8),
                digits(kind, PassOrder::default(), &gray, size, size + 3, 8)
            );
        }
    }
}

#[test]
fn hash_sizes_that_make_no_sense_are_refused() {
    for size in [0, 1, 33, usize::MAX] {
        let error = Engine::new(&DHASH, size, PassOrder::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("hash_size {size}: expected 2 to 32"));
    }
}
