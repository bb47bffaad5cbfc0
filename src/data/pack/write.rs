//! Writes a pack: decoded by worker threads, written in the order of the lists. What a pack holds depends on neither.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{BLOCK, Content, FORMAT, Frames, INDEX, Index, Line, TEXTS, VIDEOS, shard_name};
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::data::dataset::{Dataset, Progress, Sample};
use crate::data::hashes;
use crate::data::names::check_path;
use crate::data::prefetch::{Limits, Prefetch};
use crate::data::resize::{Region, resize};
use crate::data::transform::scaled_size;
use crate::data::video::{ClipMemory, Image, Source, Template, Video, VideoError, read_file};
use crate::spec::Resize;

/// A file that is there until a pack is whole, and what is in it.
const UNFINISHED: &str = "unfinished";
const MARK: &[u8] = b"`ffn data pack` did not end here\n";

/// Whether a folder holds a pack that was not finished: the mark is a file of this text, whatever else has its name.
pub fn is_unfinished(folder: &Path) -> bool {
    let mark = folder.join(UNFINISHED);
    let is_file = mark.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && fs::read(&mark).is_ok_and(|text| text == MARK)
}

/// How a data set is packed.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    pub frames: Frames,
    pub short_side: Option<usize>,
    /// A tar file is closed once it has so many bytes.
    pub shard_bytes: u64,
    pub workers: usize,
}

/// What was written.
pub struct Written {
    pub videos: usize,
    /// Ids of the videos of which no frame could be decoded, with what is wrong.
    pub unreadable: Vec<(String, String)>,
    pub shards: usize,
    pub bytes: u64,
}

/// An encoded video: the ending of its images' names, and the images.
type Encoded = (&'static str, Vec<Vec<u8>>);

/// Packs a data set into `out`, which is empty, is not there, or holds a pack that was not finished.
///
/// # Errors
/// A data set that is a pack with a loss: what this one holds could not be told any more.
pub fn write(
    dataset: &Dataset,
    packing: Packing,
    out: &Path,
    progress: &Progress<'_>,
) -> Result<Written> {
    if let Some(lost) = &dataset.lost {
        let message = format!("the data are a pack already, of {lost}");
        return Err(
            Error::new(Kind::Usage, message).hint("--data-root leads to the videos themselves")
        );
    }
    prepare(out)?;
    let (texts, mut files_of_pack) = copy_texts(dataset, out)?;
    let hashes = hashes::of_dataset(dataset, false, progress)?;
    let samples: Arc<Vec<Sample>> = Arc::new(dataset.samples().cloned().collect());
    // A video is held whole until it is its turn: none beside it on the same thread.
    let ahead = Limits {
        workers: packing.workers,
        window: packing.workers,
        together: 1,
    };
    let jobs = Arc::clone(&samples);
    let encoded = move |number: u64| {
        let sample = &jobs[number as usize];
        match encode(&sample.source, packing) {
            Ok(images) => Ok(Ok(images)),
            Err(error) if error.is_damage() => Ok(Err(error.to_string())),
            Err(error) => Err(error.into_error(&sample.id, sample.source.path())),
        }
    };
    let mut encoded = Prefetch::start(0..samples.len() as u64, ahead, move |numbers| {
        numbers.map(&encoded).collect()
    });
    let mut shards = Shards::new(out, packing.shard_bytes);
    let mut lines = String::new();
    let mut unreadable = Vec::new();
    for (number, (sample, source)) in samples.iter().zip(hashes).enumerate() {
        let images = encoded
            .next()
            .unwrap_or_else(|| Ok(Err("it was not decoded".into())))?;
        if let Err(reason) = &images {
            unreadable.push((sample.id.clone(), reason.clone()));
        }
        let line = shards.add(&sample.id, source, images)?;
        let text = serde_json::to_string(&line)
            .map_err(|error| Error::new(Kind::Io, format!("cannot write as JSON: {error}")))?;
        lines.push_str(&text);
        lines.push('\n');
        progress("packing videos", number + 1, samples.len());
    }
    let shards = shards.finish()?;
    let (count, bytes) = (shards.len(), shards.iter().map(|shard| shard.bytes).sum());
    files_of_pack.extend((0..).map(shard_name).zip(shards));
    files::write_atomic(&out.join(VIDEOS), lines.as_bytes())?;
    let index = Index {
        format: FORMAT,
        frames: packing.frames,
        short_side: packing.short_side,
        texts,
        videos_sha256: files::sha256(lines.as_bytes()),
        files: files_of_pack,
        unreadable: unreadable.len(),
    };
    let mut text = serde_json::to_string_pretty(&index)
        .map_err(|error| Error::new(Kind::Io, format!("cannot write as JSON: {error}")))?;
    text.push('\n');
    files::write_atomic(&out.join(INDEX), text.as_bytes())?;
    let mark = out.join(UNFINISHED);
    fs::remove_file(&mark).map_err(|error| Error::io("remove", &mark, &error))?;
    Ok(Written {
        videos: samples.len(),
        unreadable,
        shards: count,
        bytes,
    })
}

/// Makes the folder, and clears it of a pack that was not finished: of the files of a pack, and of nothing else.
fn prepare(out: &Path) -> Result<()> {
    fs::create_dir_all(out).map_err(|error| Error::io("make", out, &error))?;
    let entries = fs::read_dir(out).map_err(|error| Error::io("read", out, &error))?;
    let names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let is_own = |name: &String| {
        let is_shard = name.starts_with("shard-") && name.ends_with(".tar");
        is_shard
            || [VIDEOS, INDEX, TEXTS, UNFINISHED].contains(&name.as_str())
            || files::is_temporary(name)
    };
    let is_free = names.is_empty() || (is_unfinished(out) && names.iter().all(is_own));
    if !is_free {
        let message = format!("the folder `{}` is not empty", out.shown());
        return Err(
            Error::new(Kind::Usage, message).hint("a pack is written into a folder of its own")
        );
    }
    files::write_atomic(&out.join(UNFINISHED), MARK)?;
    for name in names.iter().filter(|name| *name != UNFINISHED) {
        let path = out.join(name);
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.map_err(|error| Error::io("clear", &path, &error))?;
    }
    Ok(())
}

/// Names, and what the files of these names are, by their paths in the pack.
type Texts = (Vec<String>, BTreeMap<String, Content>);

/// The lists lie in the pack under their names, by which they are found again.
fn copy_texts(dataset: &Dataset, out: &Path) -> Result<Texts> {
    let (mut names, mut contents) = (Vec::new(), BTreeMap::new());
    for (name, path) in &dataset.texts {
        check_path(name).map_err(|what| {
            let message = format!("the list `{}` cannot lie in a pack: {what}", name.shown());
            Error::new(Kind::Usage, message)
                .hint("put the lists beside the experiment, or below its folder")
        })?;
        let bytes = files::read(path, limits::LIST)?;
        let copy = out.join(TEXTS).join(name);
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))?;
        }
        files::write_atomic(&copy, &bytes)?;
        names.push(name.clone());
        let content = Content {
            bytes: bytes.len() as u64,
            sha256: files::sha256(&bytes),
        };
        contents.insert(format!("{TEXTS}/{name}"), content);
    }
    Ok((names, contents))
}

fn encode(source: &Source, packing: Packing) -> Result<Encoded, VideoError> {
    if packing.frames == Frames::Original {
        return originals(source);
    }
    let video = Video::open(source)?;
    let all: Vec<usize> = (0..video.frame_count()).collect();
    let mut images = vec![Vec::new(); all.len()];
    let (ending, encoder) = encoder(packing.frames);
    let mut held = ClipMemory::default();
    video.visit(&all, &mut |shown, image| {
        let image = shortened(image, packing.short_side)?;
        let bytes = encoder(&image, packing.frames)?;
        for &index in shown {
            held.add(bytes.len())?;
            images[index].clone_from(&bytes);
        }
        Ok(())
    })?;
    match images.is_empty() {
        true => Err(VideoError::NoFrames),
        false => Ok((ending, images)),
    }
}

type Encoder = fn(&Image, Frames) -> Result<Vec<u8>, VideoError>;

fn encoder(frames: Frames) -> (&'static str, Encoder) {
    match frames {
        Frames::Raw | Frames::Original => ("ppm", ppm),
        Frames::Png => ("png", png),
        Frames::Jpeg { .. } => ("jpg", jpeg),
    }
}

fn shortened(image: Image, short_side: Option<usize>) -> Result<Image, VideoError> {
    let size = (image.width, image.height);
    match short_side {
        Some(side) if side != size.0.min(size.1) => {
            let to = scaled_size(size, side, Resize::Pillow);
            // What a flag asks for is no damage of the video.
            VideoError::check(limits::FRAME, (to.0 as u64).saturating_mul(to.1 as u64))
                .map_err(|error| VideoError::Memory(format!("--short-side {side}: {error}")))?;
            let (from, whole) = (Region::whole(size.0, size.1), Region::whole(to.0, to.1));
            Ok(resize(&image, from, to, whole))
        }
        _ => Ok(image),
    }
}

fn ppm(image: &Image, _: Frames) -> Result<Vec<u8>, VideoError> {
    let mut bytes = format!("P6\n{} {}\n255\n", image.width, image.height).into_bytes();
    bytes.extend_from_slice(&image.rgb);
    Ok(bytes)
}

fn png(image: &Image, _: Frames) -> Result<Vec<u8>, VideoError> {
    image
        .to_png()
        .map_err(|error| VideoError::Memory(format!("cannot encode an image: {error}")))
}

fn jpeg(image: &Image, frames: Frames) -> Result<Vec<u8>, VideoError> {
    let Frames::Jpeg { quality } = frames else {
        return ppm(image, frames);
    };
    let failed = |what: String| VideoError::Memory(format!("cannot encode an image: {what}"));
    let [width, height] = [image.width, image.height].map(u16::try_from);
    let (Ok(width), Ok(height)) = (width, height) else {
        return Err(failed("JPEG has sides of up to 65535 pixels".into()));
    };
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder
        .encode(&image.rgb, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

/// The image files of a folder as they are; each must be one.
fn originals(source: &Source) -> Result<Encoded, VideoError> {
    let Source::Folder {
        path,
        template,
        first,
        count,
    } = source
    else {
        let what = "a video file has no images of its own".to_owned();
        return Err(VideoError::NotAFile(what));
    };
    let names = Template::parse(template)?;
    let video = Video::open(source)?;
    // Each is decoded once, so that nothing is packed that cannot be read.
    let all: Vec<usize> = (0..video.frame_count()).collect();
    video.visit(&all, &mut |_, _| Ok(()))?;
    let mut held = ClipMemory::default();
    let image = |number| {
        let bytes = read_file(&path.join(names.name(number)))?;
        held.add(bytes.len())?;
        Ok(bytes)
    };
    let images: Result<Vec<_>, VideoError> = (*first..first + count).map(image).collect();
    let ending = match template.to_lowercase().ends_with(".png") {
        true => "png",
        false => "jpg",
    };
    Ok((ending, images?))
}

/// The tar files of a pack, one after another.
struct Shards<'a> {
    out: &'a Path,
    most: u64,
    /// Those that are closed.
    done: Vec<Content>,
    current: Option<tar::Builder<Counting>>,
}

/// A file that knows where its end is, and what is in it.
struct Counting {
    file: BufWriter<File>,
    at: u64,
    hasher: Sha256,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.at += written as u64;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'a> Shards<'a> {
    fn new(out: &'a Path, most: u64) -> Self {
        Self {
            out,
            most,
            done: Vec::new(),
            current: None,
        }
    }

    /// The number of the one that is written.
    fn number(&self) -> usize {
        self.done.len()
    }

    /// Writes a video's images and gives its line of the index. A video lies in one tar file.
    fn add(&mut self, id: &str, source: String, images: Result<Encoded, String>) -> Result<Line> {
        let (images, unreadable) = match images {
            Ok(images) => (images, None),
            Err(reason) => (("", Vec::new()), Some(reason)),
        };
        let mut line = Line {
            id: id.to_owned(),
            shard: self.number(),
            first: 0,
            between: 0,
            lengths: Vec::with_capacity(images.1.len()),
            sha256: String::new(),
            source,
            unreadable,
        };
        let mut hasher = Sha256::new();
        let mut end = 0;
        for (index, image) in images.1.iter().enumerate() {
            let name = format!("{id}/{index:06}.{}", images.0);
            let (at, length) = self.append(&name, image)?;
            match index {
                0 => line.first = at,
                // All names of a video are of one length, and so are their headers.
                1 => line.between = at - end,
                _ => {}
            }
            end = at + length.next_multiple_of(BLOCK);
            line.lengths.push(length);
            hasher.update(image);
        }
        line.sha256 = files::hex(&hasher.finalize());
        line.shard = self.number();
        if self
            .current
            .as_ref()
            .is_some_and(|tar| tar.get_ref().at >= self.most)
        {
            self.close()?;
        }
        Ok(line)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(u64, u64)> {
        let path = self.out.join(shard_name(self.number()));
        let failed = |error: io::Error| Error::io("write", &path, &error);
        if self.current.is_none() {
            let file = BufWriter::new(File::create(&path).map_err(failed)?);
            let (at, hasher) = (0, Sha256::new());
            self.current = Some(tar::Builder::new(Counting { file, at, hasher }));
        }
        let Some(tar) = &mut self.current else {
            return Err(Error::new(Kind::Io, "no tar file is open"));
        };
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, name, bytes).map_err(failed)?;
        let length = bytes.len() as u64;
        // The data end at the next whole block.
        Ok((tar.get_ref().at - length.next_multiple_of(BLOCK), length))
    }

    fn close(&mut self) -> Result<()> {
        let Some(tar) = self.current.take() else {
            return Ok(());
        };
        let path = self.out.join(shard_name(self.number()));
        let failed = |error: io::Error| Error::io("write", &path, &error);
        let counting = tar.into_inner().map_err(failed)?;
        let file = counting
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        self.done.push(Content {
            bytes: counting.at,
            sha256: files::hex(&counting.hasher.finalize()),
        });
        Ok(())
    }

    /// What each of them is.
    fn finish(mut self) -> Result<Vec<Content>> {
        self.close()?;
        Ok(self.done)
    }
}
