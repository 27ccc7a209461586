//! OpenJPEG as encoder and as the decoder to compare with.

use std::ffi::c_void;
use std::ptr;

use openjpeg_sys as opj;

/// A picture of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub rows: usize,
    pub columns: usize,
    pub precision: u32,
    pub signed: bool,
    pub samples: Vec<i32>,
}

impl Picture {
    /// Smooth shapes with noise over them, in the whole range of values and from corner to corner.
    pub fn new(rows: usize, columns: usize, precision: u32, signed: bool) -> Self {
        let low = if signed { -(1i64 << (precision - 1)) } else { 0 };
        let range = 1i64 << precision;
        let mut seed = 1u32;
        let samples = (0..rows * columns).map(|at| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (y, x) = ((at / columns) as i64, (at % columns) as i64);
            let inside = (y - 20) * (y - 20) + (x - 25) * (x - 25) < 300;
            let shape = if inside {
                6 * range / 10
            } else {
                (x + y) * range / 400
            };
            let noise = i64::from(seed >> 16) % (range / 16 + 1);
            let extreme = [0, range - 1][at % 2];
            let value = if at % 97 < 2 { extreme } else { shape + noise };
            (low + value.clamp(0, range - 1)) as i32
        });
        Picture {
            rows,
            columns,
            precision,
            signed,
            samples: samples.collect(),
        }
    }

    /// As [`ctprune_jpeg2000::Decoder`] hands it over.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = self.samples.iter().flat_map(|&sample| match self.precision {
            0..=8 => vec![sample as u8],
            _ => (sample as u16).to_ne_bytes().to_vec(),
        });
        bytes.collect()
    }
}

struct Memory {
    bytes: Vec<u8>,
    at: usize,
}

extern "C" fn read(buffer: *mut c_void, count: usize, memory: *mut c_void) -> usize {
    // SAFETY: both are what `stream` was given and what OpenJPEG asks to be filled.
    let (memory, target) = unsafe { (&mut *memory.cast::<Memory>(), buffer.cast::<u8>()) };
    let count = count.min(memory.bytes.len() - memory.at);
    if count == 0 {
        return usize::MAX;
    }
    // SAFETY: `count` bytes are there, and the buffer has room for as many.
    unsafe { ptr::copy_nonoverlapping(memory.bytes[memory.at..].as_ptr(), target, count) };
    memory.at += count;
    count
}

extern "C" fn write(buffer: *mut c_void, count: usize, memory: *mut c_void) -> usize {
    // SAFETY: `memory` is what `stream` was given; the buffer holds `count` bytes.
    let (memory, bytes) = unsafe {
        (
            &mut *memory.cast::<Memory>(),
            std::slice::from_raw_parts(buffer.cast::<u8>(), count),
        )
    };
    let end = memory.at + count;
    if memory.bytes.len() < end {
        memory.bytes.resize(end, 0);
    }
    memory.bytes[memory.at..end].copy_from_slice(bytes);
    memory.at = end;
    count
}

extern "C" fn skip(count: i64, memory: *mut c_void) -> i64 {
    // SAFETY: as in `read`.
    let memory = unsafe { &mut *memory.cast::<Memory>() };
    memory.at = (memory.at as i64 + count).clamp(0, memory.bytes.len() as i64) as usize;
    count
}

extern "C" fn seek(to: i64, memory: *mut c_void) -> i32 {
    // SAFETY: as in `read`.
    let memory = unsafe { &mut *memory.cast::<Memory>() };
    memory.at = to as usize;
    1
}

/// A stream over `memory`, which must outlive it.
unsafe fn stream(memory: &mut Memory, input: bool) -> *mut opj::opj_stream_t {
    // SAFETY: the functions match what OpenJPEG calls them with; the caller sees to the lifetime.
    unsafe {
        let stream = opj::opj_stream_default_create(i32::from(input));
        let length = memory.bytes.len() as u64;
        opj::opj_stream_set_user_data(stream, ptr::from_mut(memory).cast(), None);
        opj::opj_stream_set_user_data_length(stream, length);
        opj::opj_stream_set_read_function(stream, Some(read));
        opj::opj_stream_set_write_function(stream, Some(write));
        opj::opj_stream_set_skip_function(stream, Some(skip));
        opj::opj_stream_set_seek_function(stream, Some(seek));
        stream
    }
}

/// Encodes a picture whose corner lies at `(x, y)`, with parameters as `change` leaves them.
pub fn encode(
    picture: &Picture,
    (x, y): (u32, u32),
    change: impl Fn(&mut opj::opj_cparameters_t),
) -> Vec<u8> {
    let mut memory = Memory {
        bytes: Vec::new(),
        at: 0,
    };
    // SAFETY: plain calls in the order that OpenJPEG documents; every pointer is checked or its own.
    unsafe {
        let mut parameters: opj::opj_cparameters_t = std::mem::zeroed();
        opj::opj_set_default_encoder_parameters(&mut parameters);
        parameters.tcp_numlayers = 1;
        parameters.cp_disto_alloc = 1;
        change(&mut parameters);
        let mut component: opj::opj_image_cmptparm_t = std::mem::zeroed();
        (component.dx, component.dy) = (1, 1);
        (component.w, component.h) = (picture.columns as u32, picture.rows as u32);
        (component.x0, component.y0) = (x, y);
        component.prec = picture.precision;
        component.sgnd = u32::from(picture.signed);
        let image = opj::opj_image_create(1, &mut component, opj::COLOR_SPACE::OPJ_CLRSPC_GRAY);
        ((*image).x0, (*image).y0) = (x, y);
        ((*image).x1, (*image).y1) = (x + component.w, y + component.h);
        let target = (*(*image).comps).data;
        ptr::copy_nonoverlapping(picture.samples.as_ptr(), target, picture.samples.len());
        let codec = opj::opj_create_compress(opj::CODEC_FORMAT::OPJ_CODEC_J2K);
        assert_eq!(opj::opj_setup_encoder(codec, &mut parameters, image), 1);
        let stream = stream(&mut memory, false);
        assert_eq!(opj::opj_start_compress(codec, image, stream), 1);
        assert_eq!(opj::opj_encode(codec, stream), 1);
        assert_eq!(opj::opj_end_compress(codec, stream), 1);
        opj::opj_stream_destroy(stream);
        opj::opj_destroy_codec(codec);
        opj::opj_image_destroy(image);
    }
    memory.bytes
}

/// Decodes a codestream.
pub fn decode(codestream: &[u8]) -> Picture {
    let mut memory = Memory {
        bytes: codestream.to_vec(),
        at: 0,
    };
    // SAFETY: as in `encode`.
    unsafe {
        let mut parameters: opj::opj_dparameters_t = std::mem::zeroed();
        opj::opj_set_default_decoder_parameters(&mut parameters);
        let codec = opj::opj_create_decompress(opj::CODEC_FORMAT::OPJ_CODEC_J2K);
        assert_eq!(opj::opj_setup_decoder(codec, &mut parameters), 1);
        let stream = stream(&mut memory, true);
        let mut image = ptr::null_mut();
        assert_eq!(opj::opj_read_header(stream, codec, &mut image), 1);
        assert_eq!(opj::opj_decode(codec, stream, image), 1);
        let component = &*(*image).comps;
        let (rows, columns) = (component.h as usize, component.w as usize);
        let picture = Picture {
            rows,
            columns,
            precision: component.prec,
            signed: component.sgnd != 0,
            samples: std::slice::from_raw_parts(component.data, rows * columns).to_vec(),
        };
        opj::opj_stream_destroy(stream);
        opj::opj_destroy_codec(codec);
        opj::opj_image_destroy(image);
        picture
    }
}
