//! A file of a store, whole: tried again where it was cut off, and held against what the index says of it.

use std::cell::Cell;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::base::{Error, Kind, Result, Shown, files};

/// Where files come from.
pub trait Fetch: Send + Sync {
    /// Hands the bytes of a file to `piece`, in order. It tries requests again itself; what it does not get it says.
    fn fetch(&self, name: &str, piece: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<(), Failure>;

    /// The address of a file, for a person.
    fn address(&self, name: &str) -> String;
}

/// Why a file did not come.
#[derive(Debug)]
pub enum Failure {
    /// Another try may have it: the connection was cut, or nothing came.
    Passing(Error),
    /// It is not there, or not for us; or `piece` did not want it.
    Lasting(Error),
}

/// What a file must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub name: &'a str,
    /// The most bytes that are taken.
    pub most: u64,
    /// Its size in bytes and its SHA-256, as far as somebody knows.
    pub bytes: Option<u64>,
    pub sha256: Option<&'a str>,
}

/// Why nothing was written that holds.
#[derive(Debug)]
pub enum Trouble {
    /// There is no space on the disk.
    Full(Error),
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Pauses between tries: the first, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Writes a file into `out` from its beginning; its SHA-256. What was cut off begins again, until for `patience` it has not come further;
/// what is another file than expected is fetched once more, since a machine on the way may have damaged it. `go_on` is asked again
/// and again, and its error ends it.
pub fn fetch_into(
    remote: &dyn Fetch,
    expected: Expected<'_>,
    out: &mut (impl Write + Seek),
    patience: Duration,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<String, Trouble> {
    let (mut pause, mut is_second) = (FIRST_PAUSE, false);
    let furthest = Cell::new((0, Instant::now()));
    loop {
        match attempt(remote, expected, out, &furthest, go_on) {
            Ok(found) if expected.is_met_by(&found) => return Ok(found.1),
            Ok(found) => {
                if std::mem::replace(&mut is_second, true) {
                    return Err(another_file(remote, expected, &found).into());
                }
            }
            Err(Stop::Trouble(trouble)) => return Err(trouble),
            Err(Stop::Failure(Failure::Lasting(error))) => return Err(error.into()),
            Err(Stop::Failure(Failure::Passing(error))) => {
                if furthest.get().1.elapsed() >= patience {
                    return Err(error.into());
                }
                rest(pause, go_on)?;
                pause = (2 * pause).min(LAST_PAUSE);
            }
        }
    }
}

enum Stop {
    Trouble(Trouble),
    Failure(Failure),
}

/// One try: how many bytes came, and their SHA-256. More than expected are not taken. `furthest`: how many ever came, and when.
fn attempt(
    remote: &dyn Fetch,
    expected: Expected<'_>,
    out: &mut (impl Write + Seek),
    furthest: &Cell<(u64, Instant)>,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<(u64, String), Stop> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0u64);
    let address = remote.address(expected.name);
    let mut is_full = false;
    let mut failed = |error: std::io::Error| {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        is_full = full.contains(&error.kind());
        let message = format!(
            "cannot write what comes from `{}`: {error}",
            address.shown()
        );
        Error::new(Kind::Io, message)
    };
    if let Err(error) = out.seek(SeekFrom::Start(0)) {
        return Err(Stop::Trouble(failed(error).into()));
    }
    let most = expected.bytes.unwrap_or(expected.most);
    let fetched = remote.fetch(expected.name, &mut |piece| {
        go_on()?;
        bytes += piece.len() as u64;
        if bytes > furthest.get().0 {
            furthest.set((bytes, Instant::now()));
        }
        if bytes > most {
            let message = format!(
                "`{}` has more than the {most} bytes that are expected",
                address.shown()
            );
            return Err(Error::new(Kind::Data, message).hint(UPLOAD));
        }
        hasher.update(piece);
        out.write_all(piece).map_err(&mut failed)
    });
    match fetched {
        Ok(()) => Ok((bytes, files::hex(&hasher.finalize()))),
        Err(Failure::Lasting(error)) if is_full => Err(Stop::Trouble(Trouble::Full(error))),
        Err(failure) => Err(Stop::Failure(failure)),
    }
}

const UPLOAD: &str = "upload it again; a pack that was written anew is uploaded whole, `pack.json` as the last of it";

impl Expected<'_> {
    /// Whether a file of so many bytes and with this hash is the one.
    fn is_met_by(&self, (bytes, sha256): &(u64, String)) -> bool {
        self.bytes.is_none_or(|expected| expected == *bytes)
            && self.sha256.is_none_or(|expected| expected == sha256)
    }
}

fn another_file(remote: &dyn Fetch, expected: Expected<'_>, found: &(u64, String)) -> Error {
    let (bytes, sha256) = found;
    let size = expected.bytes.map(|bytes| format!(", {bytes} bytes"));
    let message = format!(
        "`{}` is not the file that was packed, twice\n  expected  {}{}\n  computed  {sha256}, {bytes} bytes",
        remote.address(expected.name).shown(),
        expected.sha256.unwrap_or("any").shown(),
        size.unwrap_or_default()
    );
    Error::new(Kind::Data, message).hint(UPLOAD)
}

/// Waits, in small pieces.
pub fn rest(pause: Duration, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
    const PIECE: Duration = Duration::from_millis(20);
    let end = Instant::now() + pause;
    loop {
        go_on()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(PIECE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::sync::Mutex;

    /// Plays what is prepared, a try at a time.
    struct Played(Mutex<Vec<(&'static [u8], Option<Failure>)>>);

    impl Fetch for Played {
        fn fetch(
            &self,
            _: &str,
            piece: &mut dyn FnMut(&[u8]) -> Result<()>,
        ) -> Result<(), Failure> {
            let (bytes, end) = self.0.lock().unwrap().remove(0);
            bytes
                .chunks(3)
                .try_for_each(piece)
                .map_err(Failure::Lasting)?;
            end.map_or(Ok(()), Err)
        }

        fn address(&self, name: &str) -> String {
            format!("s3://b/{name}")
        }
    }

    fn cut() -> Option<Failure> {
        Some(Failure::Passing(Error::new(Kind::Io, "it was cut off")))
    }

    fn gone() -> Option<Failure> {
        Some(Failure::Lasting(Error::new(Kind::Data, "it is gone")))
    }

    fn fetched(
        tries: Vec<(&'static [u8], Option<Failure>)>,
        patience: Duration,
    ) -> (Result<Vec<u8>, String>, usize) {
        let remote = Played(Mutex::new(tries));
        let sha256 = files::sha256(b"0123456789");
        let expected = Expected {
            name: "x",
            most: 99,
            bytes: Some(10),
            sha256: Some(&sha256),
        };
        let mut out = Cursor::new(Vec::new());
        let result = fetch_into(&remote, expected, &mut out, patience, &|| Ok(()));
        let result = match result {
            Ok(_) => Ok(out.into_inner()),
            Err(Trouble::Full(error) | Trouble::Other(error)) => Err(error.to_string()),
        };
        (result, remote.0.into_inner().unwrap().len())
    }

    #[test]
    fn what_is_cut_off_or_damaged_on_its_way_comes_whole() {
        let long = Duration::from_secs(60);
        let tries = vec![
            (b"0123".as_slice(), cut()),
            (b"", cut()),
            (b"01234567890".as_slice().split_at(10).0, None),
        ];
        assert_eq!(fetched(tries, long).0.unwrap(), b"0123456789");
        let tries = vec![(b"012345678X".as_slice(), None), (b"0123456789", None)];
        assert_eq!(fetched(tries, long).0.unwrap(), b"0123456789");
        let tries = vec![(b"012345".as_slice(), None), (b"0123456789", None)];
        assert_eq!(fetched(tries, long).0.unwrap(), b"0123456789");
    }

    #[test]
    fn what_stays_wrong_is_said() {
        let long = Duration::from_secs(60);
        let wrong = || (b"012345678X".as_slice(), None);
        let (result, left) = fetched(vec![wrong(), wrong(), wrong()], long);
        let said = result.unwrap_err();
        assert!(
            said.contains("is not the file that was packed, twice\n  expected"),
            "{said}"
        );
        assert_eq!(left, 1);
        let (result, left) = fetched(vec![(b"", gone()), wrong()], long);
        assert_eq!((result.unwrap_err().as_str(), left), ("it is gone", 1));
        // That something comes is not enough where it never comes further.
        let (result, left) = fetched(vec![(b"0", cut()), wrong()], Duration::ZERO);
        assert_eq!((result.unwrap_err().as_str(), left), ("it was cut off", 1));
        let (result, _) = fetched(vec![(b"01234567890", None), wrong()], long);
        assert!(result.unwrap_err().contains("more than the 10 bytes"));
    }
}
