//! Read one file: every slice to a fingerprint, every refusal to a reason.

use crate::discover::files::FileId;
use crate::rows::row::{Fingerprinted, NewRow, Reader};
use ctprune_core::fingerprint::{self, Engine, Kind};
use ctprune_core::intensity::{GreyError, HuRange, Intensity, to_grey};
use ctprune_core::option::OptionError;
use ctprune_core::pixels::{Scale, SlicePixels, Stored};
use ctprune_core::resample::PassOrder;
use ctprune_dicom::read::{Buffers, Format, read_file};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal, SliceInfo};
use std::cell::RefCell;
use std::path::Path;

/// What decides a slice's fingerprint, and whether it is read at all.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kind of the fingerprint.
    pub fingerprint: &'static Kind,
    /// Rows of the fingerprint: it has `hash_size²` bits.
    pub hash_size: usize,
    /// Way from Hounsfield units to 8-bit grey.
    pub intensity: Intensity,
    /// Order of the resampling passes: versions of Pillow differ for slices much taller than wide.
    pub pass_order: PassOrder,
    /// Limits and wishes for the readers.
    pub read: ReadOptions,
}

/// A thread's reusable memory: at most a few slices of pixels are alive in it.
struct Worker {
    buffers: Buffers,
    hasher: Hasher,
}

/// Pixels to fingerprint.
pub struct Hasher {
    intensity: Intensity,
    grey: Vec<u8>,
    engine: Engine,
}

impl Hasher {
    /// A hasher for these settings.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        Ok(Self {
            intensity: settings.intensity,
            grey: Vec::new(),
            engine: Engine::new(settings.fingerprint, settings.hash_size, settings.pass_order)?,
        })
    }

    /// Fingerprint and range of one slice.
    pub fn fingerprinted(&mut self, pixels: &SlicePixels<'_>) -> Result<Fingerprinted, GreyError> {
        let mut words = vec![0; fingerprint::words(self.engine.hash_size())];
        let range = self.hash_with_range(pixels, &mut words)?;
        Ok(Fingerprinted {
            fingerprint: words,
            min_hu: range.min_hu as f32,
            max_hu: range.max_hu as f32,
        })
    }

    /// Fingerprint of one slice into `words`.
    pub fn hash_into(&mut self, pixels: &SlicePixels<'_>, words: &mut [u64]) -> Result<(), GreyError> {
        if let (Scale::Grey8, Stored::U8(grey)) = (pixels.scale, pixels.stored) {
            // Nobody asks for the range: looking for it would cost as much as the hash.
            self.engine.hash(grey, pixels.rows, pixels.columns, words);
            return Ok(());
        }
        self.hash_with_range(pixels, words).map(|_| ())
    }

    fn hash_with_range(&mut self, pixels: &SlicePixels<'_>, words: &mut [u64]) -> Result<HuRange, GreyError> {
        let grey = to_grey(pixels, self.intensity, &mut self.grey)?;
        self.engine.hash(grey.pixels, pixels.rows, pixels.columns, words);
        Ok(grey.range)
    }

    fn fits(&self, settings: &Settings) -> bool {
        self.engine.kind() == settings.fingerprint
            && self.engine.hash_size() == settings.hash_size
            && self.intensity == settings.intensity
    }
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// All rows of one file, at least one.
pub fn rows_of_file(path: &Path, file: FileId, settings: &Settings) -> Vec<NewRow> {
    WORKER.with_borrow_mut(|slot| {
        if !slot.as_ref().is_some_and(|worker| worker.hasher.fits(settings)) {
            match Hasher::new(settings) {
                Ok(hasher) => {
                    *slot = Some(Worker {
                        buffers: Buffers::default(),
                        hasher,
                    })
                }
                Err(error) => {
                    let reason = error.to_string();
                    return vec![refusal(file, Reader::None, Refusal::Failed(reason.into()))];
                }
            }
        }
        let worker = slot.as_mut().expect("was just filled");
        let mut rows = Vec::new();
        let Worker { buffers, hasher } = worker;
        let format = read_file(path, &settings.read, buffers, &mut |event| {
            rows.push(row_of_event(event, file, hasher));
        });
        let reader = match format {
            Some(Format::Dicom) => Reader::Dicom,
            Some(Format::Nifti) => Reader::Nifti,
            Some(Format::Image) => Reader::Image,
            None => Reader::None,
        };
        rows.iter_mut().for_each(|row: &mut NewRow| row.reader = reader);
        if rows.is_empty() {
            rows.push(refusal(
                file,
                reader,
                Refusal::Failed("the file holds no slice".into()),
            ));
        }
        rows
    })
}

fn row_of_event(event: Event<'_>, file: FileId, hasher: &mut Hasher) -> NewRow {
    match event {
        Event::Slice { info, pixels } => {
            let content = hasher
                .fingerprinted(&pixels)
                .map_err(|error| Refusal::Failed(error.to_string().into()));
            NewRow {
                file,
                reader: Reader::None,
                info: info.clone(),
                content,
            }
        }
        Event::Refused {
            info,
            refusal: reason,
        } => {
            let info = info.cloned().unwrap_or_default();
            NewRow {
                file,
                reader: Reader::None,
                info,
                content: Err(reason),
            }
        }
    }
}

/// A row for a file that gave none.
pub fn refusal(file: FileId, reader: Reader, reason: Refusal) -> NewRow {
    NewRow {
        file,
        reader,
        info: SliceInfo::default(),
        content: Err(reason),
    }
}
