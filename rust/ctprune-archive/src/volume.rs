//! Group slices into volumes and put each volume in order (method.md has no say in speed: plain sorts).
//!
//! A volume is one DICOM series, split by plane, matrix and pixel spacing; one NIfTI file; one folder of
//! images, or what `--volume-pattern` takes from their names.

use crate::files::Files;
use crate::geometry::{self, Oddities, Plane};
use crate::intern::Interner;
use crate::natural;
use crate::table::{Reader, Row, State, Table};
use rayon::prelude::*;
use regex::Regex;
use std::cmp::Ordering;

/// How slices are put in order within their volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Along the volume's mean normal.
    Position,
    /// By path as text.
    Path,
}

/// The slices of an archive in their final order.
#[derive(Default)]
pub struct Volumes {
    /// Row numbers in order.
    pub order: Vec<u32>,
    /// Where each volume starts in `order`, and one past the end.
    pub starts: Vec<usize>,
    /// Place along the volume's mean normal in mm, NaN without positions; as long as `order`.
    pub position_mm: Vec<f64>,
    /// What is unusual about each volume.
    pub oddities: Vec<Oddities>,
}

impl Volumes {
    /// Number of volumes.
    pub fn len(&self) -> usize {
        self.oddities.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.oddities.is_empty()
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

/// One volume on its way: its rows, then their order and places.
struct Volume {
    rows: Vec<u32>,
    position_mm: Vec<f64>,
    oddities: Oddities,
    source: u32,
    first_path: String,
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
        let paths = compare_paths(order, &a.first_path, &b.first_path);
        a.source
            .cmp(&b.source)
            .then(paths)
            .then_with(|| a.rows.cmp(&b.rows))
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
            let uid = table.object(row).series_instance_uid.clone();
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

fn arrange(table: &Table, files: &Files, order: Order, mut rows: Vec<u32>) -> Volume {
    let row = |number: u32| &table.rows()[number as usize];
    let path = |number: u32| files.relative(row(number).file);
    let normal = mean_normal(table, &rows);
    let place = |number: u32| -> f64 {
        match (normal, row(number).position()) {
            (Some(normal), Some(position)) => geometry::dot(normal, position),
            _ => f64::NAN,
        }
    };
    let placed = rows.iter().all(|&number| !place(number).is_nan());
    match order {
        Order::Path => rows.sort_by_cached_key(|&number| (path(number), row(number).frame)),
        Order::Position => rows.sort_by(|&a, &b| {
            let along = if placed {
                micrometres(place(a)).cmp(&micrometres(place(b)))
            } else {
                Ordering::Equal
            };
            let acquisition = |n| {
                if placed {
                    last_if_missing(row(n).acquisition_number())
                } else {
                    0
                }
            };
            along
                .then_with(|| acquisition(a).cmp(&acquisition(b)))
                .then_with(|| {
                    let instance = |n| last_if_missing(row(n).instance_number());
                    instance(a).cmp(&instance(b))
                })
                .then_with(|| natural::compare(&path(a), &path(b)))
                .then_with(|| row(a).frame.cmp(&row(b).frame))
        }),
    }
    let position_mm: Vec<f64> = if placed {
        rows.iter().map(|&number| place(number)).collect()
    } else {
        vec![f64::NAN; rows.len()]
    };
    let first_path = rows
        .iter()
        .map(|&n| path(n))
        .min_by(|a, b| compare_paths(order, a, b));
    Volume {
        oddities: oddities(table, &rows, &position_mm, normal.filter(|_| placed)),
        position_mm,
        source: files.source_of(row(rows[0]).file),
        first_path: first_path.unwrap_or_default(),
        rows,
    }
}

fn compare_paths(order: Order, a: &str, b: &str) -> Ordering {
    match order {
        Order::Position => natural::compare(a, b),
        Order::Path => a.cmp(b),
    }
}

/// Places are compared in whole micrometres: sums of rounded cosines differ in their last digits.
fn micrometres(mm: f64) -> i64 {
    (mm * 1e3).round() as i64
}

fn last_if_missing(number: Option<i32>) -> i64 {
    number.map_or(i64::MAX, i64::from)
}

/// Mean of the slices' unit normals; the first slice's if they cancel out.
fn mean_normal(table: &Table, rows: &[u32]) -> Option<[f64; 3]> {
    let mut sum = [0.0; 3];
    let mut first = None;
    for &number in rows {
        let shape = table.shape(&table.rows()[number as usize]);
        let normal = shape.image_orientation_patient.and_then(geometry::normal)?;
        first = first.or(Some(normal));
        for axis in 0..3 {
            sum[axis] += normal[axis];
        }
    }
    geometry::unit(sum).or(first)
}

fn oddities(table: &Table, rows: &[u32], position_mm: &[f64], normal: Option<[f64; 3]>) -> Oddities {
    let Some(normal) = normal else {
        // Pictures have no positions: nothing unusual about that.
        let dicom = matches!(
            table.rows()[rows[0] as usize].reader,
            Reader::Dicom | Reader::Pydicom
        );
        return Oddities {
            no_positions: dicom,
            ..Oddities::default()
        };
    };
    let mut places: Vec<(f64, [f64; 3])> = rows
        .iter()
        .zip(position_mm)
        .filter_map(|(&n, &mm)| Some((mm, table.rows()[n as usize].position()?)))
        .collect();
    // By path they may stand in any order; what is unusual does not depend on that.
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (along, positions): (Vec<f64>, Vec<[f64; 3]>) = places.into_iter().unzip();
    Oddities::of(&along, &positions, normal)
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
        all.oddities.push(volume.oddities);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Stamp;
    use crate::table::{Content, NewRow};
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
            let content = Content {
                fingerprint: vec![0],
                min_hu: 0.0,
                max_hu: 0.0,
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
