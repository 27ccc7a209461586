//! Decodes DICOM files by another Rust reader: `rivals TOOL THREADS FOLDER…` prints the number of slices,
//! `rivals TOOL values FILE` writes the stored values of one, as 16-bit words in this machine's byte order.
//!
//! The tools: `dicom-rs`, whose JPEG 2000 and HTJ2K are openjp2's (OpenJPEG, translated to Rust) and whose JPEG XL is
//! jxl-oxide's; `j2k`, on frames that dicom-rs cuts out.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use dicom_object::open_file;
use dicom_pixeldata::PixelDecoder;
use rayon::prelude::*;

type Values = Vec<u8>;
type Decode = fn(&Path) -> Result<Values, Box<dyn Error + Send + Sync>>;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tool, how, paths @ ..] = &arguments[..] else {
        return Err("usage: rivals TOOL THREADS FOLDER... or rivals TOOL values FILE".into());
    };
    let decode = decoder(tool)?;
    if how == "values" {
        let path = paths.first().ok_or("which file?")?;
        return Ok(std::io::stdout().write_all(&decode(Path::new(path))?)?);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(how.parse()?)
        .build()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in paths {
        for entry in std::fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    let slices = pool.install(|| {
        let decoded = files.par_iter().map(|path| decode(path).map(|_| 1usize));
        decoded.sum::<Result<usize, _>>()
    })?;
    println!("{slices}");
    Ok(())
}

fn decoder(tool: &str) -> Result<Decode, String> {
    match tool {
        "dicom-rs" => Ok(by_dicom_rs),
        #[cfg(feature = "j2k")]
        "j2k" => Ok(by_j2k),
        other => Err(format!("{other} is not built in")),
    }
}

fn by_dicom_rs(path: &Path) -> Result<Values, Box<dyn Error + Send + Sync>> {
    let object = open_file(path)?;
    let decoded = object.decode_pixel_data()?;
    Ok(decoded.data().to_vec())
}

#[cfg(feature = "j2k")]
fn by_j2k(path: &Path) -> Result<Values, Box<dyn Error + Send + Sync>> {
    use dicom_dictionary_std::tags;
    use j2k::{CpuDecodeParallelism, J2kDecoder, PixelFormat};

    let object = open_file(path)?;
    let rows: usize = object.element(tags::ROWS)?.to_int()?;
    let columns: usize = object.element(tags::COLUMNS)?.to_int()?;
    let fragments = object.element(tags::PIXEL_DATA)?.fragments();
    let frame = fragments.ok_or("the pixel data is not compressed")?.concat();
    let mut values = vec![0; 2 * rows * columns];
    let mut decoder = J2kDecoder::new(&frame)?;
    decoder.set_cpu_decode_parallelism(CpuDecodeParallelism::Serial);
    decoder.decode_into(&mut values, 2 * columns, PixelFormat::Gray16)?;
    Ok(values)
}
