//! SHA-256 of every sample, and a cache so that 20 GB are not read again.
//!
//! Hashes are lowercase hexadecimal throughout, as `sha256sum` prints them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::dataset::{Dataset, Progress, Sample};
use super::listing::counted;
use super::video::{Packed, Source, Template, VideoError, check_count};
use crate::base::{Error, Kind, Result, Shown, files, limits};

/// The hashes of `samples`, in their order. `progress(done, total)`.
///
/// A video's hash is that of its file. A frame folder's is that of the text `hash  name`, a line for each image in
/// order: what `sha256sum * | sha256sum` prints in a folder that holds nothing else.
pub fn of_samples(
    samples: &[&Sample],
    cache: &mut Cache,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<String>> {
    let done = AtomicUsize::new(0);
    let known = &*cache;
    let found: Vec<Result<Hashed>> = samples
        .par_iter()
        .map(|sample| {
            let hashed = of_sample(sample, known);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, samples.len());
            hashed
        })
        .collect();
    let (mut hashes, mut wrong) = (Vec::with_capacity(samples.len()), Vec::new());
    for (sample, hashed) in samples.iter().zip(found) {
        match hashed {
            Ok(hashed) => {
                cache.insert(&sample.id, &hashed);
                hashes.push(hashed.hash);
            }
            Err(error) => wrong.push(format!("{}  {}", sample.id.shown(), error.message)),
        }
    }
    match counted("videos that cannot be hashed", &wrong) {
        None => Ok(hashes),
        Some(problem) => Err(Error::new(Kind::Data, problem).hint(
            "complete the data set, or look at the files' permissions and the disk's health",
        )),
    }
}

/// A hash, and the stamp under which it may be remembered.
struct Hashed {
    hash: String,
    stamp: Option<String>,
}

fn of_sample(sample: &Sample, cache: &Cache) -> Result<Hashed> {
    if let Some(hash) = of_stored(sample, cache.fresh) {
        return Ok(Hashed {
            hash: hash?,
            stamp: None,
        });
    }
    let files = files_of(&sample.source)?;
    let now = SystemTime::now();
    let (mut stamp, modified) = stamp(&files)?;
    if let Source::Packed(packed) = &sample.source {
        // Another index of the same tar file is another pack.
        let known = [&stamp, &packed.sha256, &packed.source];
        stamp = files::sha256(known.map(String::as_str).concat().as_bytes());
    }
    if let Some(hash) = cache.get(&sample.id, &stamp) {
        return Ok(Hashed {
            hash: hash.to_owned(),
            stamp: Some(stamp),
        });
    }
    let hash = match &sample.source {
        Source::File(path) => files::sha256_of_file(path)?,
        Source::Folder { .. } => files::sha256(list(&files)?.as_bytes()),
        Source::Packed(packed) => of_packed(packed)?,
    };
    let is_settled = now
        .duration_since(modified)
        .is_ok_and(|age| age > files::SETTLED);
    Ok(Hashed {
        hash,
        stamp: is_settled.then_some(stamp),
    })
}

/// The hash of the video that was packed, of a pack on an object store: the index's word, since each tar file is held against its hash
/// when it arrives. `fresh`: they are fetched, and the images are held against theirs too.
fn of_stored(sample: &Sample, fresh: bool) -> Option<Result<String>> {
    let Source::Packed(packed) = &sample.source else {
        return None;
    };
    packed.stored.as_ref()?;
    Some(match fresh {
        true => of_packed(packed),
        false => Ok(packed.source.clone()),
    })
}

/// The hash of the video that was packed, where the packed images are still those that were written.
fn of_packed(packed: &Packed) -> Result<String> {
    if packed.unreadable.is_some() {
        return Ok(packed.source.clone());
    }
    let computed = packed
        .hash()
        .map_err(|error| Error::new(Kind::Data, error.to_string()))?;
    match computed == packed.sha256 {
        true => Ok(packed.source.clone()),
        false => Err(Error::new(
            Kind::Data,
            format!(
                "the images in `{}` are not those that were packed: expected {}, computed {computed}; pack it again",
                packed.shard.shown(),
                packed.sha256.shown()
            ),
        )),
    }
}

/// The video, the images of the folder, or the tar file.
fn files_of(source: &Source) -> Result<Vec<PathBuf>> {
    match source {
        Source::File(path) => Ok(vec![path.clone()]),
        Source::Packed(packed) => {
            let is_there = packed.unreadable.is_none();
            Ok(is_there.then(|| packed.shard.clone()).into_iter().collect())
        }
        Source::Folder {
            path,
            template,
            first,
            count,
        } => {
            let wrong = |error: VideoError| Error::new(Kind::Data, error.to_string());
            let template = Template::parse(template).map_err(wrong)?;
            check_count(*first, *count).map_err(wrong)?;
            let numbers = *first..first.saturating_add(*count);
            Ok(numbers
                .map(|number| path.join(template.name(number)))
                .collect())
        }
    }
}

/// Lines `hash  name`.
fn list(images: &[PathBuf]) -> Result<String> {
    let line = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{}  {name}\n", files::sha256_of_file(path)?))
    };
    images.iter().map(line).collect()
}

/// What changes when one of the files does, and when the last of them did: names, sizes and times of all.
fn stamp(paths: &[PathBuf]) -> Result<(String, SystemTime)> {
    let mut text = String::new();
    let mut latest = UNIX_EPOCH;
    for path in paths {
        let look = || {
            let metadata = fs::metadata(path)?;
            Ok((metadata.len(), metadata.modified()?))
        };
        let (size, modified) = look().map_err(|error| Error::io("read", path, &error))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{size} {} {name}\n", since.as_nanos()));
        latest = latest.max(modified);
    }
    Ok((files::sha256(text.as_bytes()), latest))
}

/// SHA-256 of every video of a data set, in the order of [`Dataset::samples`]. `fresh`: whatever is remembered.
pub fn of_dataset(dataset: &Dataset, fresh: bool, progress: &Progress<'_>) -> Result<Vec<String>> {
    let samples: Vec<&Sample> = dataset.samples().collect();
    let mut cache = Cache::open(&dataset.root, fresh);
    let report = |done, total| progress("hashing videos", done, total);
    let hashes = of_samples(&samples, &mut cache, &report)?;
    cache.save();
    Ok(hashes)
}

/// Hashes that were computed before, of one data set's root, in the user's cache folder.
///
/// The file is the SHA-256 of the rest, then lines `hash stamp id`. One that is damaged counts as empty; it is
/// replaced whole, so that of two processes the last one's is kept.
pub struct Cache {
    path: Option<PathBuf>,
    /// Whether nothing that was remembered counts.
    fresh: bool,
    /// Stamp and hash by id.
    entries: BTreeMap<String, (String, String)>,
    changed: bool,
}

impl Cache {
    /// The cache of the data set at `root`. `fresh`: nothing that was remembered counts.
    pub fn open(root: &Path, fresh: bool) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let name = files::sha256(root.as_os_str().as_encoded_bytes());
        // A cache that cannot be kept only costs time.
        let folder = files::cache_folder().ok();
        Self::at(
            folder.map(|folder| folder.join("hashes").join(&name[..16])),
            fresh,
        )
    }

    fn at(path: Option<PathBuf>, fresh: bool) -> Self {
        let remembered = path.as_deref().filter(|_| !fresh).and_then(read_entries);
        Self {
            path,
            fresh,
            entries: remembered.unwrap_or_default(),
            changed: false,
        }
    }

    fn get(&self, id: &str, stamp: &str) -> Option<&str> {
        let (known, hash) = self.entries.get(id)?;
        (known == stamp).then_some(hash)
    }

    fn insert(&mut self, id: &str, hashed: &Hashed) {
        if let Some(stamp) = &hashed.stamp {
            let entry = (stamp.clone(), hashed.hash.clone());
            let old = self.entries.insert(id.to_owned(), entry.clone());
            self.changed |= old != Some(entry);
        }
    }

    /// Keeps what was computed for the next time; a failure only costs time then.
    pub fn save(&self) {
        let Some(path) = self.path.as_deref().filter(|_| self.changed) else {
            return;
        };
        let line =
            |(id, (stamp, hash)): (&String, &(String, String))| format!("{hash} {stamp} {id}\n");
        let lines: String = self.entries.iter().map(line).collect();
        let sum = files::sha256(lines.as_bytes());
        let _ = files::write_atomic(path, format!("{sum}\n{lines}").as_bytes());
    }
}

fn read_entries(path: &Path) -> Option<BTreeMap<String, (String, String)>> {
    let content = files::read_text(path, limits::LIST).ok()?;
    let (sum, lines) = content.split_once('\n')?;
    if files::sha256(lines.as_bytes()) != sum {
        return None;
    }
    let entry = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (hash, stamp, id) = (parts.next()?, parts.next()?, parts.next()?);
        Some((id.to_owned(), (stamp.to_owned(), hash.to_owned())))
    };
    lines.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

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
            found[0].clone()
        };
        let first = hash(false);
        assert_eq!(first, files::sha256(b"one"));

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
        assert_eq!(hash(true), files::sha256(b"two"));

        // A damaged cache counts as empty.
        let damaged = fs::read_to_string(&kept).unwrap().replace(" 7\n", " 8\n");
        fs::write(&kept, damaged).unwrap();
        assert!(read_entries(&kept).is_none());
        assert_eq!(hash(false), files::sha256(b"two"));
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

    /// What a folder's hash depends on is in its stamp: names too.
    #[test]
    fn equal_sizes_and_times_under_other_names_are_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "12").unwrap();
        let time = fs::metadata(&a).unwrap().modified().unwrap();
        let (one, _) = stamp(std::slice::from_ref(&a)).unwrap();
        fs::rename(&a, &b).unwrap();
        assert_eq!(fs::metadata(&b).unwrap().modified().unwrap(), time);
        assert_ne!(stamp(&[b]).unwrap().0, one);
    }

    #[test]
    fn a_frame_folders_hash_is_that_of_its_list() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "12").unwrap();
        fs::write(&b, "3").unwrap();
        let lines = ["12", "3"].map(|content| files::sha256(content.as_bytes()));
        let expected = format!("{}  a\n{}  b\n", lines[0], lines[1]);
        assert_eq!(list(&[a, b]).unwrap(), expected);
    }
}
