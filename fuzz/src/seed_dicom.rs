//! Writes a first corpus for `read_dicom` to the folder that is named: synthetic slices in every encoding.

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../rust/ctprune-dicom/tests/dicom/build.rs"]
mod build;
#[path = "../../rust/ctprune-dicom/tests/dicom/jpeg_encoder.rs"]
mod jpeg_encoder;

use build::{
    BIG_ENDIAN, DataSet, EXPLICIT, IMPLICIT, Image, JPEG_2000, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LS, PIXELS,
    RLE,
};

fn main() -> std::io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "corpus/read_dicom".into());
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in seeds() {
        std::fs::write(format!("{folder}/{name}.dcm"), bytes)?;
    }
    Ok(())
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let compressed =
        |image: Image, syntax: &str, stream: &[u8]| image.ct(syntax).fragments(&[0], &[stream]).file(syntax);
    let image = Image::default();
    let shape = jpeg_encoder::Lossless {
        columns: 3,
        precision: 16,
        predictor: 4,
        restart_rows: 1,
        transform: 0,
    };
    let blocks = Image {
        rows: 9,
        columns: 16,
        stored: 12,
        ..image
    };
    // The example of ISO/IEC 14495-1 annex H.3.
    let jpeg_ls =
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x04\0\x04\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\0\0\xc0\0\0\x6c\x80\
        \x20\x8e\x01\xc0\0\0\x57\x40\0\0\x6e\xe6\0\0\x01\xbc\x18\0\0\x05\xd8\0\0\x91\x60\xff\xd9";
    vec![
        ("explicit", build::slice(EXPLICIT)),
        (
            "jpeg-2000",
            compressed(
                Image {
                    rows: 43,
                    columns: 39,
                    ..image
                },
                JPEG_2000,
                include_bytes!("../../rust/ctprune-jpeg2000/tests/openjpeg/ht.j2c"),
            ),
        ),
        ("implicit", build::slice(IMPLICIT)),
        ("big-endian", build::slice(BIG_ENDIAN)),
        ("bare", image.ct(IMPLICIT).pixels(&PIXELS).bytes),
        (
            "frames",
            Image {
                rows: 1,
                frames: Some(2),
                ..image
            }
            .ct(EXPLICIT)
            .pixels(&PIXELS)
            .file(EXPLICIT),
        ),
        ("enhanced", enhanced()),
        ("rle", compressed(image, RLE, &build::rle(&PIXELS))),
        (
            "lossless",
            compressed(image, JPEG_LOSSLESS, &jpeg_encoder::lossless(&PIXELS, shape)),
        ),
        (
            "extended",
            compressed(
                blocks,
                JPEG_EXTENDED,
                &jpeg_encoder::twelve_bit_blocks(9, 16, &[9, -4, 0, 2]),
            ),
        ),
        (
            "jpeg-ls",
            compressed(
                Image {
                    rows: 4,
                    columns: 4,
                    ..image
                },
                JPEG_LS,
                jpeg_ls,
            ),
        ),
    ]
}

/// Two frames with functional groups.
fn enhanced() -> Vec<u8> {
    let empty = DataSet::new(EXPLICIT);
    let position = |z: &str| {
        let inner = empty.clone().text(0x0020_0032, "DS", &format!("0\\0\\{z}"));
        empty.clone().open_sequence(0x0020_9113, &[inner])
    };
    let rescale = empty
        .clone()
        .text(0x0028_1052, "DS", "-1024")
        .text(0x0028_1053, "DS", "1");
    let shared = empty.clone().sequence(0x0028_9145, &[rescale]);
    let set = Image {
        rows: 1,
        frames: Some(2),
        ..Image::default()
    }
    .ct(EXPLICIT);
    set.sequence(0x5200_9229, &[shared])
        .open_sequence(0x5200_9230, &[position("1"), position("2")])
        .pixels(&PIXELS)
        .file(EXPLICIT)
}
