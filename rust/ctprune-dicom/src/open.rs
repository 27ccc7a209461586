//! Files are opened so that nothing that lies in an archive can block: a FIFO may have taken a file's place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file for reading; anything else is an error, at once.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Without it, opening a FIFO waits for a writer, and opening a terminal may take it over.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let reason = "it is not a regular file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let path = std::env::temp_dir().join(format!("ctprune-fifo-{}", std::process::id()));
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let refused = open_regular(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "it is not a regular file");
        assert!(open_regular(&std::env::temp_dir()).is_err());
    }
}
