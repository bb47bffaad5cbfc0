//! SHA-256 of every sample, and a cache so that 20 GB are not read again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::dataset::Sample;
use super::roots;
use super::video::{Source, Template, VideoError};
use crate::base::{Result, files};

/// 32 bytes of SHA-256.
pub type Hash = [u8; 32];

/// A file changed less than this before it was hashed might change again with the same size and time: not cached.
const SETTLED: Duration = Duration::from_secs(2);

/// The hashes of `samples`, in their order. `progress(done, total)`.
///
/// A video's hash is that of its file; a frame folder's is over each picture's name, length and bytes, in order.
pub fn of_samples(
    samples: &[&Sample],
    cache: &mut Cache,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Hash>> {
    let done = AtomicUsize::new(0);
    let known = &*cache;
    let found: Vec<(Hash, Option<Stamp>)> = samples
        .par_iter()
        .map(|sample| {
            let hashed = of_sample(sample, known)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, samples.len());
            Ok(hashed)
        })
        .collect::<Result<_>>()?;
    for (sample, (hash, stamp)) in samples.iter().zip(&found) {
        if let Some(stamp) = stamp {
            cache.insert(&sample.id, *stamp, *hash);
        }
    }
    Ok(found.into_iter().map(|(hash, _)| hash).collect())
}

/// The hash, and the stamp under which it may be remembered.
fn of_sample(sample: &Sample, cache: &Cache) -> Result<(Hash, Option<Stamp>)> {
    let fail = |error: std::io::Error| {
        let error = match error.kind() {
            std::io::ErrorKind::NotFound => VideoError::Missing,
            _ => VideoError::Unreadable(error.to_string()),
        };
        error.into_error(&sample.id, sample.source.path())
    };
    let pictures = pictures(&sample.source)
        .map_err(|error| error.into_error(&sample.id, sample.source.path()))?;
    let before = SystemTime::now();
    let stamp = Stamp::of(&pictures).map_err(fail)?;
    if let Some(hash) = cache.get(&sample.id, stamp) {
        return Ok((hash, Some(stamp)));
    }
    let hash = match &sample.source {
        Source::File(path) => of_file(path),
        Source::Folder { .. } => of_pictures(&pictures),
    }
    .map_err(fail)?;
    Ok((hash, stamp.is_settled(before).then_some(stamp)))
}

/// The files of a sample.
fn pictures(source: &Source) -> Result<Vec<PathBuf>, VideoError> {
    match source {
        Source::File(path) => Ok(vec![path.clone()]),
        Source::Folder {
            path,
            template,
            first,
            count,
        } => {
            let template = Template::parse(template)?;
            let numbers = *first..first.saturating_add(*count);
            Ok(numbers
                .map(|number| path.join(template.name(number)))
                .collect())
        }
    }
}

fn of_file(path: &Path) -> std::io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn of_pictures(paths: &[PathBuf]) -> std::io::Result<Hash> {
    let mut hasher = Sha256::new();
    for path in paths {
        let bytes = fs::read(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().into())
}

/// What changes when a file does: sizes in all, and the latest time of change in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: u64,
}

impl Stamp {
    fn of(paths: &[PathBuf]) -> std::io::Result<Self> {
        let mut stamp = Self {
            size: 0,
            modified: 0,
        };
        for path in paths {
            let metadata = fs::metadata(path)?;
            let since = metadata.modified()?.duration_since(UNIX_EPOCH);
            let modified = since.map_or(0, |time| time.as_nanos() as u64);
            stamp.size += metadata.len();
            stamp.modified = stamp.modified.max(modified);
        }
        Ok(stamp)
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let modified = UNIX_EPOCH + Duration::from_nanos(self.modified);
        now.duration_since(modified).is_ok_and(|age| age > SETTLED)
    }
}

/// Hashes that were computed before, of one data set's root, in the user's cache folder.
///
/// The file is `SHA-256 of the rest`, then lines `hash size modified id`. One that is damaged counts as empty; it is
/// replaced whole, so that of two processes the last one's is kept.
pub struct Cache {
    path: Option<PathBuf>,
    entries: BTreeMap<String, (Stamp, Hash)>,
    changed: bool,
}

impl Cache {
    /// The cache of the data set at `root`. `fresh`: nothing that was remembered counts.
    pub fn open(root: &Path, fresh: bool) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let name = files::sha256(root.as_os_str().as_encoded_bytes());
        // A cache that cannot be kept only costs time.
        let folder = roots::cache_folder().ok();
        Self::at(
            folder.map(|folder| folder.join("hashes").join(&name[..16])),
            fresh,
        )
    }

    fn at(path: Option<PathBuf>, fresh: bool) -> Self {
        let remembered = path.as_deref().filter(|_| !fresh).and_then(read_entries);
        Self {
            path,
            entries: remembered.unwrap_or_default(),
            changed: false,
        }
    }

    fn get(&self, id: &str, stamp: Stamp) -> Option<Hash> {
        let (known, hash) = self.entries.get(id)?;
        (*known == stamp).then_some(*hash)
    }

    fn insert(&mut self, id: &str, stamp: Stamp, hash: Hash) {
        let old = self.entries.insert(id.to_owned(), (stamp, hash));
        self.changed |= old != Some((stamp, hash));
    }

    /// Keeps what was computed for the next time; a failure only costs time then.
    pub fn save(&self) {
        let Some(path) = self.path.as_deref().filter(|_| self.changed) else {
            return;
        };
        let mut lines = String::new();
        for (id, (stamp, hash)) in &self.entries {
            let Stamp { size, modified } = stamp;
            lines.push_str(&format!("{} {size} {modified} {id}\n", hex(hash)));
        }
        let sum = files::sha256(lines.as_bytes());
        let _ = files::write_atomic(path, format!("{sum}\n{lines}").as_bytes());
    }
}

fn read_entries(path: &Path) -> Option<BTreeMap<String, (Stamp, Hash)>> {
    let content = fs::read_to_string(path).ok()?;
    let (sum, lines) = content.split_once('\n')?;
    if files::sha256(lines.as_bytes()) != sum {
        return None;
    }
    let entry = |line: &str| {
        let mut parts = line.splitn(4, ' ');
        let hash = parse_hex(parts.next()?)?;
        let size = parts.next()?.parse().ok()?;
        let modified = parts.next()?.parse().ok()?;
        Some((parts.next()?.to_owned(), (Stamp { size, modified }, hash)))
    };
    lines.lines().map(entry).collect()
}

/// Lowercase hexadecimal.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn parse_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &Path) -> Sample {
        Sample {
            id: "7".into(),
            label: 0,
            source: Source::File(path.to_owned()),
        }
    }

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[test]
    fn unchanged_files_are_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (video, kept) = (folder.path().join("7.webm"), folder.path().join("cache"));
        fs::write(&video, "one").unwrap();
        age(&video, 60);
        let hash = |fresh| {
            let mut cache = Cache::at(Some(kept.clone()), fresh);
            let found = of_samples(&[&sample(&video)], &mut cache, &|_, _| ()).unwrap();
            cache.save();
            found[0]
        };
        let first = hash(false);
        assert_eq!(hex(&first), files::sha256(b"one"));

        // The same size and time: the cache believes it, a fresh look does not.
        let time = fs::metadata(&video).unwrap().modified().unwrap();
        fs::write(&video, "two").unwrap();
        File::options()
            .write(true)
            .open(&video)
            .unwrap()
            .set_modified(time)
            .unwrap();
        assert_eq!(hash(false), first);
        assert_eq!(hex(&hash(true)), files::sha256(b"two"));

        // A damaged cache counts as empty.
        let damaged = fs::read_to_string(&kept).unwrap().replace(" 3 ", " 4 ");
        fs::write(&kept, damaged).unwrap();
        assert!(read_entries(&kept).is_none());
        assert_eq!(hex(&hash(false)), files::sha256(b"two"));
    }

    #[test]
    fn files_that_just_changed_are_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("7.webm");
        fs::write(&video, "one").unwrap();
        let mut cache = Cache::at(None, false);
        of_samples(&[&sample(&video)], &mut cache, &|_, _| ()).unwrap();
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn a_frame_folders_hash_depends_on_names_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "12").unwrap();
        fs::write(&b, "3").unwrap();
        let both = of_pictures(&[a.clone(), b.clone()]).unwrap();
        assert_ne!(both, of_pictures(&[b.clone(), a.clone()]).unwrap());
        fs::write(&a, "1").unwrap();
        fs::write(&b, "23").unwrap();
        assert_ne!(both, of_pictures(&[a, b]).unwrap());
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        let hash: Hash = std::array::from_fn(|i| i as u8 * 7);
        assert_eq!(parse_hex(&hex(&hash)), Some(hash));
        assert_eq!(parse_hex("00"), None);
        assert_eq!(parse_hex(&"x".repeat(64)), None);
    }
}
