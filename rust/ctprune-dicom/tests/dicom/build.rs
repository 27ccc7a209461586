//! DICOM files made by hand, right and wrong.

/// Explicit VR Little Endian.
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Encapsulated Uncompressed Explicit VR Little Endian.
pub const ENCAPSULATED: &str = "1.2.840.10008.1.2.1.98";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
pub const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
pub const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
pub const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
pub const JPEG_XL: &str = "1.2.840.10008.1.2.4.110";

pub const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

pub const PIXEL_DATA: u32 = 0x7FE0_0010;

/// Elements one after the other.
#[derive(Clone)]
pub struct DataSet {
    pub bytes: Vec<u8>,
    pub explicit: bool,
    pub big_endian: bool,
}

impl DataSet {
    /// An empty data set in the encoding of a transfer syntax.
    pub fn new(transfer_syntax: &str) -> Self {
        let explicit = transfer_syntax != IMPLICIT;
        Self {
            bytes: Vec::new(),
            explicit,
            big_endian: transfer_syntax == BIG_ENDIAN,
        }
    }

    pub fn u16(&self, number: u16) -> [u8; 2] {
        if self.big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn u32(&self, number: u32) -> [u8; 4] {
        if self.big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    /// The header of an element with any length, true or not.
    pub fn head(mut self, tag: u32, vr: &str, length: u32) -> Self {
        self.bytes.extend(self.u16((tag >> 16) as u16));
        self.bytes.extend(self.u16(tag as u16));
        if !self.explicit || tag >> 16 == 0xFFFE {
            self.bytes.extend(self.u32(length));
        } else if ["OB", "OW", "OF", "OD", "OV", "SQ", "UN", "UT"].contains(&vr) {
            self.bytes.extend(vr.bytes().chain([0, 0]));
            self.bytes.extend(self.u32(length));
        } else {
            self.bytes.extend(vr.bytes());
            self.bytes.extend(self.u16(length as u16));
        }
        self
    }

    pub fn put(self, tag: u32, vr: &str, value: &[u8]) -> Self {
        let mut set = self.head(tag, vr, value.len() as u32);
        set.bytes.extend_from_slice(value);
        set
    }

    pub fn text(self, tag: u32, vr: &str, value: &str) -> Self {
        let padded = format!("{value}{}", if value.len() % 2 == 1 { " " } else { "" });
        self.put(tag, vr, padded.as_bytes())
    }

    pub fn short(self, tag: u32, value: u16) -> Self {
        let bytes = self.u16(value);
        self.put(tag, "US", &bytes)
    }

    /// A sequence of defined length.
    pub fn sequence(self, tag: u32, items: &[DataSet]) -> Self {
        let mut inner = DataSet {
            bytes: Vec::new(),
            ..self
        };
        for item in items {
            inner = inner.put(0xFFFE_E000, "", &item.bytes);
        }
        self.put(tag, "SQ", &inner.bytes)
    }

    /// A sequence of undefined length with items of undefined length.
    pub fn open_sequence(self, tag: u32, items: &[DataSet]) -> Self {
        let mut set = self.head(tag, "SQ", u32::MAX);
        for item in items {
            set = set.head(0xFFFE_E000, "", u32::MAX);
            set.bytes.extend_from_slice(&item.bytes);
            set = set.head(0xFFFE_E00D, "", 0);
        }
        set.head(0xFFFE_E0DD, "", 0)
    }

    pub fn empty(&self) -> Self {
        Self {
            bytes: Vec::new(),
            ..*self
        }
    }

    /// 16-bit pixels.
    pub fn pixels(self, values: &[u16]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|&v| self.u16(v)).collect();
        self.put(PIXEL_DATA, "OW", &bytes)
    }

    /// Encapsulated pixel data: an offset table and fragments.
    pub fn fragments(self, offsets: &[u32], fragments: &[&[u8]]) -> Self {
        let table: Vec<u8> = offsets.iter().flat_map(|o| o.to_le_bytes()).collect();
        let mut set = self.head(PIXEL_DATA, "OB", u32::MAX).put(0xFFFE_E000, "", &table);
        for fragment in fragments {
            set = set.put(0xFFFE_E000, "", fragment);
        }
        set.head(0xFFFE_E0DD, "", 0)
    }

    /// The file: preamble, meta group, data set.
    pub fn file(&self, transfer_syntax: &str) -> Vec<u8> {
        let meta = DataSet::new(EXPLICIT)
            .put(0x0002_0001, "OB", &[0, 1])
            .text(0x0002_0002, "UI", CT_IMAGE)
            .text(0x0002_0010, "UI", transfer_syntax);
        let length = (meta.bytes.len() as u32).to_le_bytes();
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        file.extend(DataSet::new(EXPLICIT).put(0x0002_0000, "UL", &length).bytes);
        file.extend(&meta.bytes);
        file.extend(&self.bytes);
        file
    }
}

/// What comes before the image attributes of a CT slice.
pub fn ct_head(transfer_syntax: &str) -> DataSet {
    DataSet::new(transfer_syntax)
        .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .text(0x0008_0016, "UI", CT_IMAGE)
        .text(0x0008_0018, "UI", "1.2.3.4")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0008_0070, "LO", "Maker")
        .text(0x0008_1090, "LO", "Model 1")
        .text(0x0018_0050, "DS", "2.5")
        .text(0x0018_1210, "SH", "B30f")
        .text(0x0020_000D, "UI", "1.2.3.1")
        .text(0x0020_000E, "UI", "1.2.3.2")
        .text(0x0020_0012, "IS", "3")
        .text(0x0020_0013, "IS", "17")
        .text(0x0020_0032, "DS", "-10\\-20.5\\30")
        .text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
}

/// How pixels are written; the rest of a slice's header follows from it.
#[derive(Clone, Copy)]
pub struct Image {
    pub rows: u16,
    pub columns: u16,
    pub allocated: u16,
    pub stored: u16,
    pub signed: bool,
    pub frames: Option<u32>,
}

impl Default for Image {
    fn default() -> Self {
        Image {
            rows: 2,
            columns: 3,
            allocated: 16,
            stored: 16,
            signed: true,
            frames: None,
        }
    }
}

impl Image {
    /// The image attributes of a CT slice.
    pub fn describe(self, head: DataSet) -> DataSet {
        let mut set = head.short(0x0028_0002, 1).text(0x0028_0004, "CS", "MONOCHROME2");
        if let Some(frames) = self.frames {
            set = set.text(0x0028_0008, "IS", &frames.to_string());
        }
        set.short(0x0028_0010, self.rows)
            .short(0x0028_0011, self.columns)
            .text(0x0028_0030, "DS", "0.5\\0.75")
            .short(0x0028_0100, self.allocated)
            .short(0x0028_0101, self.stored)
            .short(0x0028_0102, self.stored - 1)
            .short(0x0028_0103, u16::from(self.signed))
            .text(0x0028_1052, "DS", "-1024")
            .text(0x0028_1053, "DS", "2")
    }

    /// The header of a CT slice.
    pub fn ct(self, transfer_syntax: &str) -> DataSet {
        self.describe(ct_head(transfer_syntax))
    }
}

/// A CT slice of 2 × 3 pixels.
pub const PIXELS: [u16; 6] = [0, 1, 2, 0xFFFF, 500, 1000];

/// It as a file.
pub fn slice(transfer_syntax: &str) -> Vec<u8> {
    Image::default()
        .ct(transfer_syntax)
        .pixels(&PIXELS)
        .file(transfer_syntax)
}

/// RLE as simple as can be: a segment per byte of a pixel, all literal.
pub fn rle(values: &[u16]) -> Vec<u8> {
    let mut segments = Vec::new();
    let mut header = vec![2u32, 64];
    for shift in [8, 0] {
        for run in values.chunks(128) {
            segments.push(run.len() as u8 - 1);
            segments.extend(run.iter().map(|&v| (v >> shift) as u8));
        }
        header.push(64 + segments.len() as u32);
    }
    header.resize(16, 0);
    header[3] = 0;
    header
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .chain(segments)
        .collect()
}
