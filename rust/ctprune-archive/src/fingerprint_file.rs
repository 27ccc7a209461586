//! Read one file: every slice to a fingerprint, every refusal to a reason.

use crate::discover::files::FileId;
use crate::discover::location::Location;
use crate::open::{Fetch, Found, Opened, find_member, open_location, read_opened};
use crate::rows::row::{Fingerprinted, NewRow, Reader};
use ctprune_containers::open::{Container, kind_of, no_container};
use ctprune_containers::promised_kind;
use ctprune_core::fingerprint::{self, Engine, Kind};
use ctprune_core::intensity::{GrayError, HuRange, Intensity, Shares, to_gray};
use ctprune_core::option::OptionError;
use ctprune_core::pixels::{Scale, SlicePixels, Stored};
use ctprune_core::resample::PassOrder;
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::{Buffers, Format, HEAD_BYTES, format_of};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal, SliceInfo};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// What decides a slice's fingerprint, and whether it is read at all.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kind of the fingerprint.
    pub fingerprint: &'static Kind,
    /// Rows of the fingerprint: it has `hash_size²` bits.
    pub hash_size: usize,
    /// Way from Hounsfield units to 8-bit gray.
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
    gray: Vec<u8>,
    engine: Engine,
}

impl Hasher {
    /// A hasher for these settings.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        Ok(Self {
            intensity: settings.intensity,
            gray: Vec::new(),
            engine: Engine::new(settings.fingerprint, settings.hash_size, settings.pass_order)?,
        })
    }

    /// Fingerprint and range of one slice.
    pub fn fingerprinted(&mut self, pixels: &SlicePixels<'_>) -> Result<Fingerprinted, GrayError> {
        let mut words = vec![0; fingerprint::words(self.engine.hash_size())];
        let range = self.hash_with_range(pixels, &mut words)?;
        Ok(Fingerprinted {
            fingerprint: words,
            min_hu: range.min_hu as f32,
            max_hu: range.max_hu as f32,
            shares: Shares::of(pixels, range),
        })
    }

    /// Fingerprint of one slice into `words`.
    pub fn hash_into(&mut self, pixels: &SlicePixels<'_>, words: &mut [u64]) -> Result<(), GrayError> {
        if let (Scale::Gray8, Stored::U8(gray)) = (pixels.scale, pixels.stored) {
            // Nobody asks for the range: looking for it would cost as much as the hash.
            self.engine.hash(gray, pixels.rows, pixels.columns, words);
            return Ok(());
        }
        self.hash_with_range(pixels, words).map(|_| ())
    }

    fn hash_with_range(&mut self, pixels: &SlicePixels<'_>, words: &mut [u64]) -> Result<HuRange, GrayError> {
        let gray = to_gray(pixels, self.intensity, &mut self.gray)?;
        self.engine.hash(gray.pixels, pixels.rows, pixels.columns, words);
        Ok(gray.range)
    }

    fn fits(&self, settings: &Settings) -> bool {
        self.engine.kind() == settings.fingerprint
            && self.engine.hash_size() == settings.hash_size
            && self.intensity == settings.intensity
    }
}

/// Before each further try of a file that could not be read for a moment.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2500),
];

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What a file holds.
pub enum FileRows {
    /// Slices and refusals, at least one.
    Rows(Vec<NewRow>),
    /// Other files.
    Container(Arc<Container>),
}

/// All rows of one file, or the container that it is. What fails for a moment is tried again, after growing pauses.
pub fn rows_of_file(
    location: &Location,
    file: FileId,
    settings: &Settings,
    fetch: Option<&dyn Fetch>,
) -> FileRows {
    let mut found = rows_at_once(location, file, settings, fetch);
    for (tried, pause) in (0..).zip(PAUSES) {
        let FileRows::Rows(rows) = &found else {
            break;
        };
        let tries = rows
            .iter()
            .filter_map(|row| row.content.as_ref().err().map(tries));
        if tries.max().unwrap_or(0) <= tried {
            break;
        }
        std::thread::sleep(pause);
        found = rows_at_once(location, file, settings, fetch);
    }
    found
}

/// How often to try again after a refusal.
fn tries(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Failed(error) => error.tries(),
        _ => 0,
    }
}

/// All rows of a file of another machine from its bytes, at least one.
pub fn rows_of_bytes(name: &str, bytes: &[u8], file: FileId, settings: &Settings) -> Vec<NewRow> {
    let location = Location::Remote(name.to_owned());
    let opened = Opened::Bytes(bytes);
    match container_by_content(&location, &opened, settings) {
        Ok(_) => rows_of_opened(&location, opened, file, settings),
        Err(reason) => vec![refusal(file, Reader::None, reason)],
    }
}

fn rows_at_once(
    location: &Location,
    file: FileId,
    settings: &Settings,
    fetch: Option<&dyn Fetch>,
) -> FileRows {
    match container_by_name(location, settings) {
        Ok(Some(container)) => return FileRows::Container(container),
        Ok(None) => {}
        Err(reason) => return FileRows::Rows(vec![refusal(file, Reader::None, reason)]),
    }
    open_location(
        location,
        &settings.read,
        fetch,
        |opened| match container_by_content(location, &opened, settings) {
            Ok(Some(container)) => FileRows::Container(container),
            Ok(None) => FileRows::Rows(rows_of_opened(location, opened, file, settings)),
            Err(reason) => FileRows::Rows(vec![refusal(file, Reader::None, reason)]),
        },
    )
}

/// The container that a member is whose name promises one: it may be too large to be read like a slice.
fn container_by_name(location: &Location, settings: &Settings) -> Result<Option<Arc<Container>>, Refusal> {
    let Location::Member { container, member } = location else {
        return Ok(None);
    };
    if promised_kind(member).is_none() {
        return Ok(None);
    }
    let Found::Indexed(outer, found) = find_member(container, member, &settings.read)? else {
        return Ok(None);
    };
    let mut head = [0; HEAD_BYTES];
    let length = outer.read_head(&found, &mut head)?;
    let is_container = kind_of(&head[..length]).is_some();
    is_container
        .then(|| outer.open_nested(container, &found, &settings.read))
        .transpose()
}

/// The container that a file is by its first bytes, whatever its name.
fn container_by_content(
    location: &Location,
    opened: &Opened<'_>,
    settings: &Settings,
) -> Result<Option<Arc<Container>>, Refusal> {
    let mut buffer = [0; HEAD_BYTES];
    let head = match opened {
        Opened::File(_, head) => head.bytes(),
        Opened::Bytes(bytes) => &bytes[..bytes.len().min(HEAD_BYTES)],
        Opened::Part(part) => {
            let read = part.read_full_at(&mut buffer, 0);
            let read = read.map_err(|error| ReadError::io("the archive cannot be read", &error))?;
            &buffer[..read]
        }
        Opened::Refused(_) => return Ok(None),
    };
    if format_of(head).is_some() {
        return Ok(None);
    }
    let Some(kind) = ctprune_containers::Kind::of(head) else {
        let name = location.address();
        let name = name
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        return match (promised_kind(name), location) {
            (Some(_), Location::File(path)) if !head.is_empty() => Container::open(path).map(Some),
            (Some(_), _) if !head.is_empty() => Err(no_container(name)),
            _ => Ok(None),
        };
    };
    match location {
        Location::File(path) => Container::open(path).map(Some),
        Location::Remote(_) => Err(Refusal::skipped(
            Code::Archive,
            format!("a {}: add '!/' and the path of a file in it", kind.name()),
        )),
        Location::Member { container, member } => match find_member(container, member, &settings.read)? {
            Found::Indexed(outer, found) => outer.open_nested(container, &found, &settings.read).map(Some),
            Found::InPass(..) => Ok(None),
        },
    }
}

/// All rows of a file that was opened and is no container, at least one.
pub fn rows_of_opened(
    location: &Location,
    opened: Opened<'_>,
    file: FileId,
    settings: &Settings,
) -> Vec<NewRow> {
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
                    let error = ReadError::other(Code::Pixels, error.to_string());
                    return vec![refusal(file, Reader::None, error.into())];
                }
            }
        }
        let worker = slot.as_mut().expect("was just filled");
        let mut rows = Vec::new();
        let words = fingerprint::words(settings.hash_size);
        let Worker { buffers, hasher } = worker;
        let format = read_opened(location, opened, &settings.read, buffers, &mut |event| {
            rows.push(row_of_event(event, file, hasher, words));
        });
        let reader = match format {
            Some(Format::Dicom) => Reader::Dicom,
            Some(Format::Nifti) => Reader::Nifti,
            Some(Format::Image) => Reader::Image,
            None => Reader::None,
        };
        rows.iter_mut().for_each(|row: &mut NewRow| row.reader = reader);
        if rows.is_empty() {
            let error = ReadError::other(Code::Missing, "the file holds no slice");
            rows.push(refusal(file, reader, error.into()));
        }
        rows
    })
}

fn row_of_event(event: Event<'_>, file: FileId, hasher: &mut Hasher, words: usize) -> NewRow {
    match event {
        Event::Slice { info, pixels } => {
            let content = hasher.fingerprinted(&pixels).map_err(without_pixels);
            NewRow {
                file,
                reader: Reader::None,
                info: info.clone(),
                content,
            }
        }
        Event::Header { info } => NewRow {
            file,
            reader: Reader::None,
            info: info.clone(),
            content: Ok(Fingerprinted::without_pixels(words)),
        },
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

/// The refusal of a slice whose pixels cannot become gray values.
pub fn without_pixels(error: GrayError) -> Refusal {
    ReadError::other(Code::Pixels, error.to_string()).into()
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
