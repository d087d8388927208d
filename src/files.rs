//! Reading files that a user, a journal or a folder names.
//!
//! Such a path can lead anywhere: to a FIFO that nobody writes to, to a device that never ends, to a file
//! of any size. [`read`] and [`open`] take regular files only, never wait for the other end of a pipe, and
//! [`read`] ends at a limit.
//!
//! Two kinds of path are exceptions, because people use them on purpose: `/dev/null` is an empty file, and
//! a pipe that the caller has already opened for this process (`/dev/stdin`, and `/dev/fd/N` of a shell's
//! `<(command)`) is read to its end, unless nothing is written to it for a minute.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
};

/// Largest file of settings, profiles, scenarios, certificates and the like, in bytes. The largest ones in
/// use are bundles of certificates and playbooks, of less than a megabyte.
pub const LIMIT: u64 = 64 << 20;

/// Longest silence of a pipe that the caller opened: enough for a program behind it that asks for a login.
const SILENCE: Duration = Duration::from_mins(1);

/// Opens a file for reading, or as `options` say, without waiting for anybody.
///
/// # Errors
/// It cannot be opened, or is not a regular file; the error says what it is.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Opening a device can have effects, so it is not opened at all.
    regular(fs::metadata(path)?.file_type())?;
    let file = options.custom_flags(nonblocking()).open(path)?;
    // It may have been replaced in between.
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and a file that is larger than the limit.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    if given_by_caller(path) && fs::metadata(path)?.file_type().is_fifo() {
        return read_pipe(path, limit);
    }
    let file = open(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within(limit, bytes)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], and a file that is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Whether [`read`] can take what is at this path: a regular file, `/dev/null`, or a pipe of the caller.
pub fn is_readable_kind(path: &Path) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    meta.is_file() || path == Path::new("/dev/null") || (given_by_caller(path) && meta.file_type().is_fifo())
}

fn nonblocking() -> i32 {
    // The flags are small positive numbers on every platform.
    i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Refuses everything but regular files.
fn regular(kind: FileType) -> io::Result<()> {
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, not a file"));
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what}, not a regular file")))
}

fn within(limit: u64, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// Whether a path names a file descriptor that this process inherited: what is behind it can be read once.
pub fn given_by_caller(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)))
}

fn read_pipe(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut pipe = OpenOptions::new().read(true).custom_flags(nonblocking()).open(path)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                bytes = within(limit, bytes)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let silence = Timespec { tv_sec: SILENCE.as_secs().cast_signed(), tv_nsec: 0 };
                if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&silence))? == 0 {
                    return Err(io::Error::new(ErrorKind::TimedOut, "nothing was written to this pipe for a minute"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, process::Command};

    use super::*;

    fn refused(path: &Path) -> String {
        assert!(!is_readable_kind(path));
        open(path, OpenOptions::new().read(true)).unwrap_err();
        read(path, LIMIT).unwrap_err().to_string()
    }

    #[test]
    fn reads_regular_files_only_and_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("text"), "x").unwrap();
        assert_eq!(read_text(&path("text"), LIMIT).unwrap(), "x");
        std::os::unix::fs::symlink(path("text"), path("link")).unwrap();
        assert_eq!(read_text(&path("link"), LIMIT).unwrap(), "x");
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        assert_eq!(refused(&path("fifo")), "it is a FIFO, not a regular file");
        let _listener = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(refused(&path("socket")), "it is a socket, not a regular file");
        assert_eq!(refused(folder.path()), "it is a folder, not a file");
        assert_eq!(refused(Path::new("/dev/zero")), "it is a device, not a regular file");
        assert_eq!(refused(&path("missing")), fs::read(path("missing")).unwrap_err().to_string());
        assert_eq!(read(Path::new("/dev/null"), LIMIT).unwrap(), b"");
    }

    #[test]
    fn reads_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap().len(), 1 << 20);
        fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap_err().to_string(), "it is larger than 1 MiB");
    }

    #[test]
    fn reads_a_pipe_of_the_caller_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let written = vec![b'x'; 1 << 20];
        let thread = std::thread::spawn({
            let written = written.clone();
            move || io::Write::write_all(&mut writer, &written).unwrap()
        });
        assert_eq!(read(Path::new(&path), LIMIT).unwrap(), written);
        thread.join().unwrap();
    }
}
