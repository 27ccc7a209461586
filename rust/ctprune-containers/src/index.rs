//! The members of a container, each with its extent: what lets any of them be read at any time.

use super::names::BadName;
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;

/// One member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name in an address.
    pub name: String,
    /// Size of its content, as the container says.
    pub size: u64,
    /// Where it is, or why it cannot be read.
    pub extent: Result<Extent, Refusal>,
}

/// Where a member's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where its header (in a zip file) or its content (in a tar file) begins.
    pub offset: u64,
    /// Bytes that it takes.
    pub stored: u64,
    /// Whether they are deflated.
    pub deflated: bool,
    /// Checksum of the content, where there is one.
    pub crc: Option<u32>,
}

impl Member {
    /// One that has no usable name.
    pub fn unnamed(bad: BadName, size: u64) -> Self {
        Self {
            name: bad.shown,
            size,
            extent: Err(failed(bad.reason)),
        }
    }

    fn refuse(&mut self, reason: &'static str) {
        self.extent = Err(failed(reason));
    }
}

/// Why a member cannot be read.
pub fn failed(reason: &'static str) -> Refusal {
    Refusal::Failed(ReadError::other(Code::Container, reason))
}

/// The members of a container.
#[derive(Debug, Default)]
pub struct Index {
    members: Vec<Member>,
    /// Those that can be read, by name.
    by_name: Vec<u32>,
    /// What is wrong with the container apart from single members.
    pub broken: Option<ReadError>,
}

impl Index {
    /// From members in the container's order; of several with one name none can be told from the others.
    pub fn new(members: Vec<Member>, broken: Option<ReadError>) -> Self {
        let mut members = refuse_namesakes(members);
        let by_name = sorted(&members);
        refuse_doubtful_folders(&mut members, &by_name);
        Self {
            by_name: by_name
                .into_iter()
                .filter(|&number| members[number as usize].extent.is_ok())
                .collect(),
            members,
            broken,
        }
    }

    /// All members, in the container's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this name, if it can be read.
    pub fn find(&self, name: &str) -> Option<&Member> {
        let found = self
            .by_name
            .binary_search_by(|&number| self.members[number as usize].name.as_str().cmp(name));
        Some(&self.members[self.by_name[found.ok()?] as usize])
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> u64 {
        let names: usize = self.members.iter().map(|member| member.name.len()).sum();
        (names + self.members.len() * (size_of::<Member>() + size_of::<u32>())) as u64
    }
}

fn sorted(members: &[Member]) -> Vec<u32> {
    let mut by_name: Vec<u32> = (0..members.len() as u32).collect();
    // Stable: of one name the first comes first.
    by_name.sort_by(|&a, &b| members[a as usize].name.cmp(&members[b as usize].name));
    by_name
}

/// Refuses the first of several members with one name and leaves out the others: an address means one thing.
fn refuse_namesakes(mut members: Vec<Member>) -> Vec<Member> {
    let by_name = sorted(&members);
    let mut surplus = Vec::new();
    for same in by_name.chunk_by(|&a, &b| members[a as usize].name == members[b as usize].name) {
        if let [_, others @ ..] = same
            && !others.is_empty()
        {
            surplus.push((same[0], others.to_vec()));
        }
    }
    if surplus.is_empty() {
        return members;
    }
    let mut gone = vec![false; members.len()];
    for (first, others) in surplus {
        members[first as usize].refuse(NAMESAKES);
        others.into_iter().for_each(|other| gone[other as usize] = true);
    }
    let mut gone = gone.into_iter();
    members.retain(|_| !gone.next().unwrap_or(false));
    members
}

/// Why a name that several members have is not read.
pub const NAMESAKES: &str = "several members have this name: repack the archive with only one of them";

/// Refuses `wow!/1.dcm` beside `wow`: it could as well be a member of a container of that name.
fn refuse_doubtful_folders(members: &mut [Member], by_name: &[u32]) {
    for number in 0..members.len() {
        let name = &members[number].name;
        let marks = name.match_indices("!/").map(|(at, _)| &name[..at]);
        let mut containers = marks.filter(|prefix| {
            by_name
                .binary_search_by(|&other| members[other as usize].name.as_str().cmp(prefix))
                .is_ok()
        });
        if containers.next().is_some() {
            members[number].refuse("a member and a folder have the same name, but for '!': rename one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member {
            name: name.into(),
            size: 1,
            extent: Ok(Extent {
                offset: 0,
                stored: 1,
                deflated: false,
                crc: None,
            }),
        }
    }

    #[test]
    fn members_are_found_by_name_and_doubtful_ones_are_not() {
        let names = ["b", "a/c", "twice", "wow", "wow!/1", "x!/1", "twice", "twice"];
        let index = Index::new(names.map(member).into(), None);
        let all: Vec<_> = index
            .members()
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        assert_eq!(all, ["b", "a/c", "twice", "wow", "wow!/1", "x!/1"]);
        for name in ["b", "a/c", "wow", "x!/1"] {
            assert_eq!(index.find(name).unwrap().name, name);
        }
        for name in ["twice", "wow!/1", "", "a", "a/c/"] {
            assert!(index.find(name).is_none(), "{name}");
        }
    }
}
