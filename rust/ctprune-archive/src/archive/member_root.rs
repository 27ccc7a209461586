//! What a container is among the files, and why one or its members are refused.

use crate::discover::files::FileId;
use ctprune_containers::MAX_MEMBERS;
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;

/// Members that are decoded together, for each thread.
pub(super) const TOGETHER: usize = 16;

/// Why a container is not read whose members' addresses would have two meanings.
pub(super) const DOUBTFUL: &str = "beside it is a folder with its name and '!': rename one of them";

/// The folder that stands for a container among the files.
#[derive(Clone)]
pub(super) struct MemberRoot {
    /// The container.
    pub(super) file: FileId,
    pub(super) source: u32,
    /// The folder that its members are in.
    pub(super) prefix: String,
    /// The version of the outermost container.
    pub(super) version: i64,
}

pub(super) fn too_many() -> Refusal {
    Refusal::Failed(ReadError::other(
        Code::Container,
        format!(
            "more than {MAX_MEMBERS} members, with those of the archives in it: unpack it and name the folder"
        ),
    ))
}

pub(super) fn no_members() -> Refusal {
    Refusal::skipped(Code::NoMembers, "archive without files")
}
