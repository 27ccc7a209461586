//! Positions, orientation and spacing of NIfTI slices against values worked out by hand.

use ctprune_dicom::slice::SliceInfo;

use crate::nifti::{Nifti, all_kinds};

fn set_sform(file: &mut Nifti, matrix: [[f64; 4]; 3]) {
    file.set_code(254, 348, 1);
    for (index, &value) in matrix.as_flattened().iter().enumerate() {
        file.set_real(280, 400, index, value);
    }
}

fn set_qform(file: &mut Nifti, quaternion: [f64; 3], origin: [f64; 3]) {
    file.set_code(252, 344, 1);
    for index in 0..3 {
        file.set_real(256, 352, index, quaternion[index]);
        file.set_real(268, 376, index, origin[index]);
    }
}

/// pixdim from the handedness on.
fn set_pixdim(file: &mut Nifti, values: [f64; 4]) {
    for (index, value) in values.into_iter().enumerate() {
        file.set_real(76, 104, index, value);
    }
}

fn second_slice(file: &Nifti) -> SliceInfo {
    file.read()[1].info().clone()
}

#[test]
fn the_sform_is_turned_into_dicoms_axes() {
    for mut file in all_kinds() {
        // Columns step 0.5 mm to the left, rows 2 mm to the back, slices 3 mm upwards.
        set_sform(
            &mut file,
            [
                [-0.5, 0.0, 0.0, 10.0],
                [0.0, -2.0, 0.0, 20.0],
                [0.0, 0.0, 3.0, 30.0],
            ],
        );
        // The sform wins.
        set_qform(&mut file, [0.0; 3], [9.0; 3]);
        set_pixdim(&mut file, [1.0; 4]);
        let info = second_slice(&file);
        assert_eq!(info.image_position_patient, Some([-10.0, -20.0, 33.0]));
        assert_eq!(
            info.image_orientation_patient,
            Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        );
        assert_eq!(info.pixel_spacing_mm, Some([2.0, 0.5]));
        assert_eq!(info.slice_thickness_mm, Some(3.0));
    }
}

#[test]
fn the_qform_rotates() {
    for mut file in all_kinds() {
        // Half a turn around the third axis: first axis to the left, second to the back.
        set_qform(&mut file, [0.0, 0.0, 1.0], [1.0, 2.0, 4.0]);
        set_pixdim(&mut file, [-1.0, 0.5, 2.0, 3.0]);
        let info = second_slice(&file);
        // pixdim[0] of -1 mirrors the third axis.
        assert_eq!(info.image_position_patient, Some([-1.0, -2.0, 1.0]));
        assert_eq!(
            info.image_orientation_patient,
            Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        );
        assert_eq!(info.pixel_spacing_mm, Some([2.0, 0.5]));
        assert_eq!(info.slice_thickness_mm, Some(3.0));
    }
}

#[test]
fn voxel_sizes_alone_keep_the_files_axes() {
    for mut file in all_kinds() {
        set_pixdim(&mut file, [1.0, 0.5, 2.0, 3.0]);
        let info = second_slice(&file);
        assert_eq!(info.image_position_patient.map(|position| position[2]), Some(3.0));
        assert_eq!(
            info.image_orientation_patient,
            Some([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0])
        );
        assert_eq!(info.pixel_spacing_mm, Some([2.0, 0.5]));
    }
}

#[test]
fn a_sheared_volume_has_the_distance_of_its_planes() {
    let mut file = Nifti::new(true, false);
    set_sform(
        &mut file,
        [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 4.0, 0.0], [0.0, 0.0, 3.0, 0.0]],
    );
    let info = second_slice(&file);
    assert_eq!(info.slice_thickness_mm, Some(3.0));
    assert_eq!(info.image_position_patient, Some([0.0, -4.0, 3.0]));
}

#[test]
fn meters_and_micrometres_become_millimetres() {
    for (units, factor) in [(1, 1000.0), (3, 0.001), (2 + 8, 1.0), (0, 1.0)] {
        let mut file = Nifti::new(true, false);
        file.set_units(units);
        set_sform(
            &mut file,
            [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
        );
        assert_eq!(second_slice(&file).pixel_spacing_mm, Some([factor, factor]));
    }
}

#[test]
fn an_unusable_sform_gives_way_and_no_geometry_is_none() {
    let mut file = Nifti::new(false, false);
    set_sform(
        &mut file,
        [
            [f64::NAN, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ],
    );
    assert_eq!(second_slice(&file).image_position_patient, None);
    set_pixdim(&mut file, [1.0, 1.0, 1.0, 7.0]);
    assert_eq!(second_slice(&file).slice_thickness_mm, Some(7.0));
}
