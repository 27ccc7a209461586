//! Which objects are no slices, and the short reasons that a run counts.

use dicom_dictionary_std::uids;

use super::header::{Header, PixelKind};
use crate::code::{Code, Reason};
use crate::error::{DataSetError, ReadError};
use crate::slice::{ReadOptions, Refusal, SliceInfo};
use crate::text::code_string;

/// The storage classes of structured reports share this beginning (PS3.6 annex A).
const STRUCTURED_REPORTS: &str = "1.2.840.10008.5.1.4.1.1.88.";

/// The reason why this object is no slice, if it is none. What says most about the file comes first: missing
/// pixels, or a data set that is `broken` before them, matter only in what should be a slice.
pub(crate) fn refusal(
    header: &Header,
    media_storage_class: &str,
    options: &ReadOptions,
    broken: Option<DataSetError>,
) -> Option<Refusal> {
    let class = class_of(header, media_storage_class);
    match (other_kind(header, class, options), broken) {
        // Of a data set that breaks off early, a missing modality says nothing.
        (_, Some(broken)) if header.info.modality.is_empty() => Some(Refusal::Failed(broken.into())),
        (Some(reason), _) => Some(Refusal::Skipped(reason)),
        (None, Some(broken)) => Some(Refusal::Failed(broken.into())),
        (None, None) if header.pixels.is_none() => Some(without_pixels(header, class)),
        (None, None) => is_color(header).then(|| Refusal::skipped(Code::Color, "color image")),
    }
}

/// What this object is instead of a slice.
fn other_kind(header: &Header, class: &str, options: &ReadOptions) -> Option<Reason> {
    let modality = header.info.modality.as_str();
    if header.is_directory || class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return Some(Reason::new(Code::Dicomdir, "DICOMDIR"));
    }
    if options.modality != "any" && modality != options.modality {
        let text = format!("modality {}", countable(modality));
        return Some(Reason::new(Code::Modality, text));
    }
    class_reason(class).or_else(|| image_type_reason(&header.info.image_type, has_geometry(header)))
}

fn class_of<'a>(header: &'a Header, media_storage_class: &'a str) -> &'a str {
    if header.sop_class_uid.is_empty() {
        media_storage_class
    } else {
        &header.sop_class_uid
    }
}

/// The modality as a reason may show it: a Code String and nothing else, whatever the file holds there.
fn countable(modality: &str) -> &str {
    match (modality, code_string(modality)) {
        ("", _) => "missing",
        (_, "") => "unreadable",
        (_, code) => code,
    }
}

fn class_reason(class: &str) -> Option<Reason> {
    let (code, text) = match class {
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE
        | uids::MULTI_FRAME_SINGLE_BIT_SECONDARY_CAPTURE_IMAGE_STORAGE
        | uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE
        | uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE
        | uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE => {
            (Code::SecondaryCapture, "secondary capture")
        }
        uids::SEGMENTATION_STORAGE
        | uids::SURFACE_SEGMENTATION_STORAGE
        | uids::LABEL_MAP_SEGMENTATION_STORAGE => (Code::Segmentation, "segmentation"),
        _ if class.starts_with(STRUCTURED_REPORTS) => (Code::StructuredReport, "structured report"),
        _ => return None,
    };
    Some(Reason::new(code, text))
}

/// What Image Type (PS3.3 C.7.6.1.1.2), or the Frame Type of one frame, says against a slice.
///
/// Value 3 is LOCALIZER for scouts; some writers put it, or the vendor's own name, elsewhere. Pages of text
/// that carry modality CT say so in a later value: `SCREEN SAVE` (GE), `CT_SOM5 PROT` (Siemens), `DOSE_INFO`
/// (Philips). `DERIVED\SECONDARY` alone says nothing, reformats are that too; but with no position in the
/// patient it is a page.
pub(crate) fn image_type_reason(image_type: &str, has_geometry: bool) -> Option<Reason> {
    let mut values = image_type.split('\\').map(str::trim);
    let is_primary = values.clone().nth(1) == Some("PRIMARY");
    if values.clone().any(|v| {
        ["LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"]
            .iter()
            .any(|s| v.contains(s))
    }) {
        return Some(Reason::new(Code::Localizer, "localizer"));
    }
    let is_page = |word: &str| {
        matches!(
            word,
            "SCREEN" | "SCREENSAVE" | "DOSE" | "PROT" | "PROTOCOL" | "INFO" | "REPORT"
        )
    };
    let says_page = values.any(|v| v.split([' ', '_']).any(is_page));
    let is_derived_page = image_type.starts_with("DERIVED\\SECONDARY") && !has_geometry;
    // A low-dose scan may say DOSE in its name, too: primary images with a position are slices.
    let is_page = (says_page && !(is_primary && has_geometry)) || is_derived_page;
    is_page.then(|| Reason::new(Code::Page, "dose report or screen save"))
}

/// Whether the object says where in the patient it lies, or leaves that to its functional groups.
fn has_geometry(header: &Header) -> bool {
    has_position(&header.info) || header.per_frame_groups.is_some()
}

/// Whether a slice says where in the patient it lies. Of another modality than CT (`--modality any`) none has
/// to: projections have no position.
pub(crate) fn has_position(info: &SliceInfo) -> bool {
    info.image_position_patient.is_some() || info.image_orientation_patient.is_some() || info.modality != "CT"
}

/// Objects without pixels: a plan, a waveform, a presentation state are none of ours; an image class
/// without them is broken.
fn without_pixels(header: &Header, class: &str) -> Refusal {
    let is_image = matches!(
        class,
        uids::CT_IMAGE_STORAGE
            | uids::ENHANCED_CT_IMAGE_STORAGE
            | uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE
    );
    if is_image || header.info.rows > 0 {
        Refusal::Failed(ReadError::Missing("the pixel data"))
    } else {
        Refusal::skipped(Code::NoPixels, "no pixel data")
    }
}

fn is_color(header: &Header) -> bool {
    let photometric = header.photometric_interpretation.as_str();
    let is_integer = header.pixels.is_some_and(|p| p.kind == PixelKind::Integer);
    is_integer && header.samples_per_pixel.is_some_and(|samples| samples > 1)
        || ["RGB", "PALETTE", "YBR", "HSV", "ARGB", "CMYK"]
            .iter()
            .any(|c| photometric.starts_with(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(modality: &str, class: &str, image_type: &str) -> Header {
        let mut header = Header::default();
        header.sop_class_uid = format!("1.2.840.10008.5.1.4.1.1.{class}");
        header.info.modality = modality.into();
        header.info.image_type = image_type.into();
        header
    }

    fn reason(header: &Header) -> Option<String> {
        refusal(header, "", &ReadOptions::default(), None).map(|refusal| refusal.to_string())
    }

    #[test]
    fn modality_comes_before_missing_pixels() {
        assert_eq!(
            reason(&header("RTSTRUCT", "481.3", "")).as_deref(),
            Some("modality RTSTRUCT")
        );
        assert_eq!(reason(&header("", "2", "")).as_deref(), Some("modality missing"));
        assert_eq!(
            reason(&header("John Doe", "2", "")).as_deref(),
            Some("modality unreadable")
        );
    }

    #[test]
    fn classes_of_no_slices_are_named() {
        assert_eq!(
            reason(&header("CT", "7", "")).as_deref(),
            Some("secondary capture")
        );
        assert_eq!(reason(&header("CT", "66.4", "")).as_deref(), Some("segmentation"));
        assert_eq!(
            reason(&header("CT", "88.67", "")).as_deref(),
            Some("structured report")
        );
        assert_eq!(
            reason(&header("CT", "11.1", "")).as_deref(),
            Some("no pixel data")
        );
        assert_eq!(
            reason(&header("CT", "2", "ORIGINAL\\PRIMARY\\AXIAL")).as_deref(),
            Some("the pixel data is missing")
        );
    }

    #[test]
    fn scouts_and_pages_are_told_from_slices_and_reformats() {
        let image_type_reason = |image_type, has_geometry| {
            image_type_reason(image_type, has_geometry).map(|reason| (reason.code, reason.text.into_owned()))
        };
        let page = Some((Code::Page, "dose report or screen save".to_owned()));
        let localizer = Some((Code::Localizer, "localizer".to_owned()));
        assert_eq!(image_type_reason("ORIGINAL\\PRIMARY\\LOCALIZER", true), localizer);
        assert_eq!(
            image_type_reason("DERIVED\\SECONDARY\\REF_SURVIEW", true),
            localizer
        );
        assert_eq!(
            image_type_reason("DERIVED\\SECONDARY\\OTHER\\CT_SOM5 PROT", true),
            page.clone()
        );
        assert_eq!(image_type_reason("DERIVED\\SECONDARY\\SCREEN SAVE", false), page);
        assert_eq!(image_type_reason("DERIVED\\SECONDARY\\DOSE_INFO", false), page);
        assert_eq!(image_type_reason("DERIVED\\SECONDARY", false), page);
        assert_eq!(image_type_reason("DERIVED\\SECONDARY\\MPR", true), None);
        assert_eq!(
            image_type_reason("ORIGINAL\\PRIMARY\\AXIAL\\LOW DOSE", true),
            None
        );
        assert_eq!(image_type_reason("ORIGINAL\\PRIMARY\\AXIAL", false), None);
        assert_eq!(image_type_reason("", false), None);
    }

    #[test]
    fn any_modality_can_be_asked_for() {
        let options = ReadOptions {
            modality: "any".into(),
            ..ReadOptions::default()
        };
        let mut cr = header("CR", "1", "DERIVED\\SECONDARY");
        cr.pixels = Some(super::super::header::PixelElement {
            kind: PixelKind::Integer,
            value: 0,
            length: Some(0),
        });
        assert_eq!(refusal(&cr, "", &options, None), None);
        cr.samples_per_pixel = Some(3);
        assert_eq!(
            refusal(&cr, "", &options, None),
            Some(Refusal::skipped(Code::Color, "color image"))
        );
    }
}
