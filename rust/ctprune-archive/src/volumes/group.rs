//! Group slices into volumes and put each volume in order with plain sorts: their time is nothing beside reading.
//!
//! A volume is one DICOM series, split by plane, matrix and pixel spacing; one NIfTI file; one folder of
//! images, or what `--volume-pattern` takes from their names.

use crate::discover::files::Files;
use crate::rows::intern::Interner;
use crate::rows::row::{Reader, Row, State};
use crate::rows::table::Table;
use crate::volumes::geometry::Plane;
use crate::volumes::order::{Order, Volume, arrange, compare_paths};
use crate::volumes::spacing::GeometryFlags;
use rayon::prelude::*;
use regex::Regex;

/// The slices of an archive in their final order.
#[derive(Default)]
pub struct Volumes {
    /// Row numbers in order.
    pub order: Vec<u32>,
    /// Where each volume starts in `order`, and one past the end.
    pub starts: Vec<usize>,
    /// Position along the volume's mean normal in mm, NaN without positions; as long as `order`.
    pub position_mm: Vec<f64>,
    /// What is unusual about each volume.
    pub geometry_flags: Vec<GeometryFlags>,
}

impl Volumes {
    /// Number of volumes.
    pub fn len(&self) -> usize {
        self.geometry_flags.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.geometry_flags.is_empty()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum VolumeKey {
    Series {
        uid: String,
        /// Only for series without UID: then the folder stands for it.
        folder: Option<u32>,
        plane: Plane,
        matrix: (u32, u32),
        /// Pixel spacing in steps of 0.1 µm: what is printed with fewer digits still belongs together.
        spacing: Option<[i64; 2]>,
    },
    File(u32),
    Folder(u32),
    Named {
        source: u32,
        name: String,
    },
}

/// Group and order all slices of a table.
///
/// `pattern` needs one group; image files whose name it does not match stay with their folder.
pub fn group(table: &Table, files: &Files, order: Order, pattern: Option<&Regex>) -> Volumes {
    let mut keys: Interner<VolumeKey> = Interner::default();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (number, row) in table
        .rows()
        .iter()
        .enumerate()
        .filter(|(_, row)| row.state == State::Slice)
    {
        let volume = keys.number(&volume_key(table, files, row, pattern)) as usize;
        if volume == members.len() {
            members.push(Vec::new());
        }
        members[volume].push(number as u32);
    }
    let mut volumes: Vec<Volume> = members
        .into_par_iter()
        .map(|rows| arrange(table, files, order, rows))
        .collect();
    volumes.par_sort_by(|a, b| {
        let paths = compare_paths(order, &a.first.0, &b.first.0);
        a.source
            .cmp(&b.source)
            .then(paths)
            .then_with(|| a.first.1.cmp(&b.first.1))
    });
    join(volumes)
}

fn volume_key(table: &Table, files: &Files, row: &Row, pattern: Option<&Regex>) -> VolumeKey {
    match row.reader {
        Reader::Nifti => VolumeKey::File(row.file),
        Reader::Image => {
            let captured = pattern
                .and_then(|p| p.captures(files.name(row.file)))
                .and_then(|c| c.get(1));
            match captured {
                Some(name) => VolumeKey::Named {
                    source: files.source_of(row.file),
                    name: name.as_str().to_owned(),
                },
                None => VolumeKey::Folder(files.folder_of(row.file)),
            }
        }
        Reader::Dicom | Reader::Pydicom | Reader::None => {
            let uid = table.series(row).series_instance_uid.clone();
            let shape = table.shape(row);
            VolumeKey::Series {
                folder: uid.is_empty().then(|| files.folder_of(row.file)),
                uid,
                plane: Plane::of(shape.image_orientation_patient),
                matrix: (shape.rows, shape.columns),
                spacing: shape
                    .pixel_spacing_mm
                    .map(|mm| mm.map(|x| (x * 1e4).round() as i64)),
            }
        }
    }
}

fn join(volumes: Vec<Volume>) -> Volumes {
    let mut all = Volumes {
        starts: vec![0],
        ..Volumes::default()
    };
    for volume in volumes {
        all.order.extend(volume.rows);
        all.position_mm.extend(volume.position_mm);
        all.starts.push(all.order.len());
        all.geometry_flags.push(volume.geometry_flags);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::files::Stamp;
    use crate::rows::row::{Fingerprinted, NewRow};
    use ctprune_dicom::slice::SliceInfo;
    use std::path::PathBuf;

    const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    struct Archive {
        files: Files,
        table: Table,
        source: u32,
    }

    impl Archive {
        fn new() -> Self {
            let mut files = Files::default();
            let source = files.source(PathBuf::from("root"));
            Self {
                files,
                table: Table::new(1),
                source,
            }
        }

        fn add(&mut self, reader: Reader, folder: &str, name: &str, info: SliceInfo) {
            let folder = self.files.folder(self.source, folder);
            let file = self.files.push(folder, name, Stamp::default());
            let content = Fingerprinted {
                fingerprint: vec![0],
                min_hu: 0.0,
                max_hu: 0.0,
                shares: None,
            };
            self.table
                .push(NewRow {
                    file,
                    reader,
                    info,
                    content: Ok(content),
                })
                .unwrap();
        }

        fn slice(&mut self, series: &str, name: &str, z: Option<f64>, change: impl Fn(&mut SliceInfo)) {
            let mut info = SliceInfo {
                series_instance_uid: series.into(),
                rows: 512,
                columns: 512,
                pixel_spacing_mm: Some([0.7, 0.7]),
                image_orientation_patient: z.map(|_| AXIAL),
                image_position_patient: z.map(|z| [0.0, 0.0, z]),
                ..SliceInfo::default()
            };
            change(&mut info);
            self.add(Reader::Dicom, "a", name, info);
        }

        fn names(&self, order: Order, pattern: Option<&str>) -> Vec<Vec<String>> {
            let pattern = pattern.map(|p| Regex::new(p).unwrap());
            let volumes = group(&self.table, &self.files, order, pattern.as_ref());
            let name = |&row: &u32| self.files.name(self.table.rows()[row as usize].file).to_owned();
            volumes
                .starts
                .windows(2)
                .map(|w| volumes.order[w[0]..w[1]].iter().map(name).collect())
                .collect()
        }
    }

    #[test]
    fn slices_follow_their_position_then_their_numbers() {
        let mut archive = Archive::new();
        archive.slice("1", "b", Some(2.0), |_| ());
        archive.slice("1", "a", Some(10.0), |_| ());
        archive.slice("1", "d", Some(-1.0), |i| i.instance_number = Some(9));
        archive.slice("1", "c", Some(-1.0), |i| i.instance_number = Some(10));
        archive.slice("1", "e", Some(-1.0 + 1e-9), |i| i.acquisition_number = Some(1));
        assert_eq!(archive.names(Order::Position, None), [["e", "d", "c", "b", "a"]]);
        assert_eq!(archive.names(Order::Path, None), [["a", "b", "c", "d", "e"]]);
    }

    #[test]
    fn without_positions_instance_number_then_natural_path() {
        let mut archive = Archive::new();
        archive.slice("1", "s_10", None, |_| ());
        archive.slice("1", "s_9", None, |_| ());
        archive.slice("1", "z", None, |i| i.instance_number = Some(1));
        // Acquisition Number only breaks ties of position.
        archive.slice("1", "y", None, |i| {
            (i.instance_number, i.acquisition_number) = (Some(2), Some(0))
        });
        assert_eq!(archive.names(Order::Position, None), [["z", "y", "s_9", "s_10"]]);
        assert_eq!(archive.names(Order::Path, None), [["s_10", "s_9", "y", "z"]]);
    }

    #[test]
    fn a_series_splits_by_plane_matrix_and_spacing_but_not_by_tilt() {
        let mut archive = Archive::new();
        archive.slice("1", "a", Some(0.0), |_| ());
        archive.slice("1", "b", Some(1.0), |i| {
            i.image_orientation_patient = Some([1.0, 0.0, 0.0, 0.0, 0.95, 0.3]);
        });
        archive.slice("1", "c", Some(1.0), |i| {
            i.image_orientation_patient = Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
        });
        archive.slice("1", "d", Some(1.0), |i| i.rows = 256);
        archive.slice("1", "e", Some(1.0), |i| i.pixel_spacing_mm = Some([0.8, 0.7]));
        archive.slice("1", "f", Some(2.0), |i| {
            i.pixel_spacing_mm = Some([0.70000001, 0.7])
        });
        archive.slice("2", "g", Some(0.0), |_| ());
        let names = archive.names(Order::Position, None);
        assert_eq!(
            names,
            [vec!["a", "b", "f"], vec!["c"], vec!["d"], vec!["e"], vec!["g"]]
        );
    }

    #[test]
    fn images_group_by_folder_or_by_pattern_and_nifti_by_file() {
        let mut archive = Archive::new();
        for (folder, name) in [
            ("x", "p1_2.png"),
            ("x", "p1_10.png"),
            ("x", "p2_1.png"),
            ("y", "p1_1.png"),
        ] {
            archive.add(Reader::Image, folder, name, SliceInfo::default());
        }
        for frame in [1, 0] {
            let mut info = SliceInfo {
                frame,
                ..SliceInfo::default()
            };
            info.image_orientation_patient = None;
            archive.add(Reader::Nifti, "z", "v.nii", info);
        }
        assert_eq!(
            archive.names(Order::Position, None),
            [
                vec!["p1_2.png", "p1_10.png", "p2_1.png"],
                vec!["p1_1.png"],
                vec!["v.nii"],
                vec!["v.nii"]
            ]
        );
        assert_eq!(
            archive.names(Order::Path, Some(r"^(p\d+)_"))[..2],
            [vec!["p1_10.png", "p1_2.png", "p1_1.png"], vec!["p2_1.png"]]
        );
    }

    #[test]
    fn volumes_follow_their_first_path() {
        let mut archive = Archive::new();
        archive.slice("1", "10", Some(0.0), |_| ());
        archive.slice("2", "9", Some(0.0), |_| ());
        assert_eq!(archive.names(Order::Position, None), [["9"], ["10"]]);
        assert_eq!(archive.names(Order::Path, None), [["10"], ["9"]]);
    }
}
