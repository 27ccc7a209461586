//! Writes a first corpus for `read_manifest` to the folder that is named: small manifests without their seals.

use ctprune_archive::archive::Archive;
use ctprune_archive::discover::files::Stamp;
use ctprune_archive::fingerprint_file::Settings;
use ctprune_archive::methods::DEFAULT_FINGERPRINT;
use ctprune_archive::rows::manifest_writer::ManifestWriter;
use ctprune_archive::rows::row::{Fingerprinted, NewRow, Reader};
use ctprune_archive::rows::schema::MANIFEST_VERSION;
use ctprune_archive::volumes::order::Order;
use ctprune_core::intensity::Intensity;
use ctprune_core::resample::PassOrder;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::{ReadOptions, SliceInfo};
use std::path::Path;

const SEAL_BYTES: usize = 16 + 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "corpus/read_manifest".into());
    std::fs::create_dir_all(&folder)?;
    for rows in [0, 1, 3, 40] {
        let file = Path::new(&folder).join(format!("{rows}-rows.parquet"));
        write(&file, rows)?;
        let bytes = std::fs::read(&file)?;
        let tail = bytes.len() - 8;
        let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into()?) as usize;
        let footer = tail - length;
        std::fs::write(&file, [&bytes[..footer - SEAL_BYTES], &bytes[footer..]].concat())?;
    }
    Ok(())
}

fn write(file: &Path, count: u32) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings {
        fingerprint: DEFAULT_FINGERPRINT,
        hash_size: 8,
        intensity: Intensity::parse("minmax").expect("is known"),
        pass_order: PassOrder::ByShape,
        read: ReadOptions::default(),
    };
    let mut archive = Archive::new(settings, 1, 0)?;
    let (files, table) = archive.parts_mut();
    let source = files.source("/archive".into());
    let folder = files.folder(source, "a");
    for number in 0..count {
        let file = files.push(folder, &format!("{number}.dcm"), Stamp::default());
        let info = SliceInfo {
            series_instance_uid: format!("1.2.{}", number / 10),
            image_position_patient: Some([0.0, 0.0, f64::from(number)]),
            ..SliceInfo::default()
        };
        let content = match number % 5 {
            4 => Err(ReadError::Truncated("the file").into()),
            _ => Ok(Fingerprinted {
                fingerprint: vec![u64::from(number)],
                min_hu: -1000.0,
                max_hu: 5.0,
                shares: None,
            }),
        };
        table.push(NewRow {
            file,
            reader: Reader::Dicom,
            info,
            content,
        })?;
    }
    archive.group(Order::Position, None);
    let slices = archive.volumes().order.len();
    archive.set_selection((0..slices as u32).collect(), vec![0.0; slices])?;
    let about = format!(
        r#"{{"manifest_version": {MANIFEST_VERSION}, "ctprune_version": "0", "config": {{"hash_size": 8}}}}"#
    );
    let mut writer = ManifestWriter::create(file, archive.fingerprint_bytes(), &about)?;
    writer.write(&archive.batch(0..archive.manifest_rows()))?;
    writer.finish()?;
    Ok(())
}
