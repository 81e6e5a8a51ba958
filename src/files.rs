//! Reads the files that the settings name.
//!
//! Whatever stands at a path, reading it does not wait: a FIFO without a writer, or a device, would hold up the start of the
//! process or the watch over the file for ever. So files are opened without blocking, and all but regular ones are refused.
//! Symbolic links are followed, because Kubernetes mounts Secrets by them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The permission of everybody to read a file.
const READ_BY_OTHERS: u32 = 0o004;

/// Opens a regular file for reading.
///
/// # Errors
/// The file cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is not a regular file")) }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// See [`open`]; the file cannot be read, or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(content)
}

/// True if every user of the machine may read the file at `path`, as far as the file's own permissions say.
pub fn is_open_to_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & READ_BY_OTHERS != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "content").expect("written");
        symlink(path("file"), path("link")).expect("linked");
        assert!(Command::new("mkfifo").arg(path("fifo")).status().expect("mkfifo exists").success());
        symlink(path("fifo"), path("link-to-fifo")).expect("linked");
        for name in ["file", "link"] {
            assert_eq!(read(&path(name), 7).expect(name), b"content");
            assert_eq!(read(&path(name), 6).expect_err(name).to_string(), "larger than 6 bytes");
        }
        for path in [path("fifo"), path("link-to-fifo"), folder.path().to_owned(), "/dev/zero".into()] {
            assert_eq!(read(&path, 7).expect_err("refused").to_string(), "is not a regular file", "{}", path.display());
        }
        assert_eq!(read(&path("absent"), 7).expect_err("absent").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_open_to_all_if_its_permissions_say_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "content").expect("written");
        symlink(&path, &link).expect("linked");
        for (mode, open) in [(0o644, true), (0o640, false), (0o600, false), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            assert_eq!((is_open_to_all(&path), is_open_to_all(&link)), (open, open), "{mode:o}");
        }
        assert!(!is_open_to_all(folder.path()) && !is_open_to_all(&folder.path().join("absent")));
    }
}
