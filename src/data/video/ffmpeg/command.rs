//! What `ffmpeg` is asked to do.

use std::ffi::OsString;
use std::path::Path;

use super::log;
use super::version::Version;
use crate::base::limits;

/// A video that is to be decoded.
#[derive(Clone, Copy)]
pub struct Video<'a> {
    pub path: &'a Path,
    /// How many frames from the first; `None`: all.
    pub frames: Option<usize>,
}

/// Each video to an output of its own: the first stream of moving images alone, every frame once, whatever the times say, in its own
/// size, as 8 bits of red, green, blue. All supported versions give the same bytes, of one video or of several. Frames are numbered
/// anew, for ffmpeg complains where two have one time. `names`: what each output is called.
pub fn arguments(videos: &[Video<'_>], names: &[String], version: Version) -> Vec<OsString> {
    let mut all = own(&["-nostdin", "-hide_banner", "-nostats", "-v", log::LEVEL]);
    for video in videos {
        all.extend(input(video.path));
    }
    for (place, (video, name)) in videos.iter().zip(names).enumerate() {
        all.extend(output(place, video.frames, version));
        all.push(name.into());
    }
    all
}

fn own(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

fn input(path: &Path) -> Vec<OsString> {
    let pixels = limits::FRAME.most.to_string();
    // `file:` keeps a name with a colon from being taken for a protocol.
    let mut name = OsString::from("file:");
    name.push(path);
    let mut input = own(&["-threads", "1", "-max_pixels", &pixels, "-i"]);
    input.push(name);
    input
}

/// All but its name.
fn output(place: usize, frames: Option<usize>, version: Version) -> Vec<OsString> {
    let stream = format!("{place}:V:0");
    let streams = ["-map", &stream, "-an", "-sn", "-dn"];
    let times = [
        "-vf",
        "settb=1/1000,setpts=N",
        "-enc_time_base",
        "1/1000",
        version.rule_of_times(),
        "passthrough",
    ];
    let pixels = [
        "-noautoscale",
        "-sws_flags",
        "neighbor+accurate_rnd+full_chroma_int+bitexact",
        "-pix_fmt",
        "rgb24",
    ];
    let number = frames.map(|frames| frames.to_string());
    let end: Vec<&str> = match &number {
        None => Vec::new(),
        Some(number) => vec!["-frames:v", number],
    };
    let output = ["-f", "image2pipe", "-c:v", "ppm"];
    own(&[&streams[..], &times, &pixels, &end, &output].concat())
}
