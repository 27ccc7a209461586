//! Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16): what holds for all frames, and what
//! differs between them.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::element::{DELIMITERS, Element, Encoding, Items, Reader, UNDEFINED};
use super::header::{FrameAttributes, Header, take_frame_attribute};
use super::value::unsigned;
use crate::error::DataSetError;
use crate::slice::SliceInfo;

/// The groups whose content a slice needs; each is a sequence of one item.
const WANTED: [Tag; 7] = [
    tags::CT_RECONSTRUCTION_SEQUENCE, // Convolution Kernel
    tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::FRAME_CONTENT_SEQUENCE, // Frame Acquisition Number
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,             // Pixel Spacing, Slice Thickness
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, // Rescale Slope and Intercept
];

/// The per-frame groups of an object, taken frame after frame.
pub(crate) struct FrameGroups<'a> {
    /// What holds for every frame: the object's attributes, then the shared groups'.
    info: SliceInfo,
    frame: FrameAttributes,
    items: Option<Items<'a>>,
}

impl<'a> FrameGroups<'a> {
    /// The groups of the object whose elements `bytes` holds.
    pub fn new(header: &Header, bytes: &'a [u8], encoding: Encoding) -> Result<Self, DataSetError> {
        let reader = Reader::new(bytes, 0, encoding);
        let mut groups = Self {
            info: header.info.clone(),
            frame: header.frame.clone(),
            items: None,
        };
        if let Some(shared) = &header.shared_groups
            && let Some(item) = Items::of(reader, shared)?.next_item()?
        {
            take_groups(item, &mut groups.info, &mut groups.frame)?;
        }
        if let Some(per_frame) = &header.per_frame_groups {
            groups.items = Some(Items::of(reader, per_frame)?);
        }
        Ok(groups)
    }

    /// Description and attributes of the next frame. A frame without an item of its own has what holds for
    /// all.
    pub fn next_frame(
        &mut self,
        info: &mut SliceInfo,
        frame: &mut FrameAttributes,
    ) -> Result<(), DataSetError> {
        info.clone_from(&self.info);
        frame.clone_from(&self.frame);
        match self.items.as_mut().map(Items::next_item).transpose()?.flatten() {
            Some(item) => take_groups(item, info, frame),
            None => Ok(()),
        }
    }
}

fn take_groups(
    mut item: Reader<'_>,
    info: &mut SliceInfo,
    frame: &mut FrameAttributes,
) -> Result<(), DataSetError> {
    while let Some(element) = item.element() {
        if WANTED.contains(&element.tag)
            && let Some(group) = Items::of(item, &element)?.next_item()?
        {
            take_group(group, info, frame)?;
        }
        if skip_or_end(&mut item, &element)? {
            break;
        }
    }
    Ok(())
}

fn take_group(
    mut group: Reader<'_>,
    info: &mut SliceInfo,
    frame: &mut FrameAttributes,
) -> Result<(), DataSetError> {
    while let Some(element) = group.element() {
        if element.length != UNDEFINED && element.tag.group() != DELIMITERS {
            let value = group.value(&element)?;
            match element.tag {
                tags::FRAME_ACQUISITION_NUMBER => {
                    info.acquisition_number = unsigned(value, group.encoding).map(i64::from)
                }
                tag => take_frame_attribute(info, frame, tag, value),
            }
        }
        if skip_or_end(&mut group, &element)? {
            break;
        }
    }
    Ok(())
}

/// Steps over the element; whether it was the delimiter of the item.
fn skip_or_end(reader: &mut Reader<'_>, element: &Element) -> Result<bool, DataSetError> {
    if element.tag.group() == DELIMITERS {
        return Ok(true);
    }
    reader.skip(element)?;
    Ok(false)
}
