//! What `ffmpeg` says on its standard error, and what it means for the video.
//!
//! It looks into every stream of a file before it decodes one, and complains of sound and cover images that are none of
//! ours. So it is asked to mark each line with its level, and until it names the stream that it decodes, complaints of
//! other streams' decoders are passed over.

use std::io::{BufRead, BufReader, Read};
use std::process::ExitStatus;

use super::super::VideoError;

/// Its option `-v`.
pub const LEVEL: &str = "level+info";

/// How much is kept: of a message, in characters; of messages, from each of as many sources.
const LONGEST: usize = 400;
const MOST: usize = 5;

/// What an `ffmpeg` said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The container's name, as its reader's messages begin.
    container: String,
    /// Such as `Audio: aac`.
    streams: Vec<String>,
    /// The decoded stream's format and decoder. Empty until it is named.
    decoder: Vec<String>,
    /// Complaints that may concern the video.
    errors: Vec<Complaint>,
    /// There were others, about other streams of its file or, where several are decoded together, about other videos.
    passed_over: bool,
    /// The last line that is no message of `ffmpeg` itself, but of what starts it, say.
    other: String,
    /// It was told to end.
    told_to_end: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    /// Whose it is; empty: the program's own.
    source: String,
    text: String,
}

impl Log {
    /// Reads everything, so that the process is never held up, and keeps little.
    pub fn read(stderr: impl Read) -> Self {
        const LINE: u64 = 1 << 12;
        let mut log = Self::default();
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A longer line comes in parts. What cannot be read cannot be shown; the exit status still tells.
            match (&mut stderr).take(LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return log,
                Ok(_) => log.line(String::from_utf8_lossy(&line).trim_end()),
            }
        }
    }

    fn line(&mut self, line: &str) {
        let Some((source, level, text)) = parts(line) else {
            if !line.trim().is_empty() {
                self.other = cut(line);
            }
            return;
        };
        match level {
            "error" | "fatal" | "panic" => self.complaint(source, text),
            // Shown all the same, with what was lost of it made up.
            "warning" if text.contains("corrupt decoded frame") => self.complaint(source, text),
            "info" => self.information(text),
            _ => {}
        }
    }

    fn information(&mut self, text: &str) {
        let text = text.trim_start();
        if let Some(input) = text.strip_prefix("Input #0, ") {
            let name = input.split(", from ").next();
            self.container = cut(name.unwrap_or_default());
        } else if text.starts_with("Exiting normally, received signal") {
            self.told_to_end = true;
        } else if let Some(stream) = text.strip_prefix("Stream #0:")
            && self.decoder.is_empty()
        {
            match stream.split_once(" -> #0:0 (") {
                Some((_, decoder)) => self.decodes(decoder),
                None => self.stream(stream),
            }
        }
    }

    fn stream(&mut self, stream: &str) {
        const ENOUGH: usize = 16;
        let description = stream.split_once(": ").map(|(_, description)| description);
        let mut words = description.unwrap_or_default().split([' ', ',']);
        if let (Some(kind), Some(codec)) = (words.next(), words.next())
            && self.streams.len() < ENOUGH
        {
            self.streams.push(cut(&format!("{kind} {codec}")));
        }
    }

    /// The stream that is decoded is named, `h264 (native) -> ppm (native))`: from now on every complaint is about it.
    fn decodes(&mut self, mapping: &str) {
        let decoder = mapping.split(" -> ").next().unwrap_or_default();
        let words = decoder.split([' ', '(', ')']);
        self.decoder = words.filter(|word| !word.is_empty()).map(cut).collect();
        let (container, decoder, before) = (&self.container, &self.decoder, self.errors.len());
        self.errors.retain(|complaint| {
            let source = &complaint.source;
            let of_the_program = source.is_empty() || source == "NULL" || source.contains('#');
            of_the_program || source == container || decoder.contains(source)
        });
        self.passed_over |= self.errors.len() < before;
    }

    fn complaint(&mut self, source: &str, text: &str) {
        // Times are given to images anew where their size or colours change, which the container of images dislikes.
        let of_times = source == "image2pipe" && text.contains("non monotonically increasing dts");
        let complaint = Complaint {
            source: cut(source),
            text: cut(text),
        };
        let of_source = self.errors.iter().filter(|e| e.source == complaint.source);
        let has_room = of_source.count() < MOST && self.errors.len() < MOST * MOST;
        if has_room && !of_times && !self.errors.contains(&complaint) {
            self.errors.push(complaint);
        }
    }

    /// Whether it named a stream that it decodes.
    pub fn names_a_stream(&self) -> bool {
        !self.decoder.is_empty()
    }

    /// Whether there is nothing that may concern any of several videos.
    pub fn is_quiet(&self) -> bool {
        self.errors.is_empty() && !self.passed_over
    }

    /// How it went, by how the process ended and what it said.
    pub fn verdict(&self, status: ExitStatus) -> Result<(), VideoError> {
        if self.told_to_end {
            let what = "a signal told it to end".to_owned();
            return Err(VideoError::FfmpegStopped { what });
        }
        if self.errors.is_empty() && status.success() {
            return Ok(());
        }
        if self.says("matches no streams") && !self.streams.is_empty() {
            let tracks = self.streams.clone();
            return Err(VideoError::NoVideoTrack { tracks });
        }
        let damage = self.is_damage(status);
        let texts = self.errors.iter().map(|complaint| complaint.text.as_str());
        let texts: Vec<&str> = texts.take(MOST).collect();
        let what = match (texts.is_empty(), self.other.is_empty()) {
            (false, _) => texts.join("; "),
            (true, false) => format!("{} ({status})", self.other),
            (true, true) => status.to_string(),
        };
        Err(match damage {
            true => VideoError::FfmpegDamage { what },
            false => VideoError::Ffmpeg { what },
        })
    }

    fn says(&self, phrase: &str) -> bool {
        self.errors.iter().any(|e| e.text.contains(phrase))
    }

    /// Whether it is certain that the file's content is at fault: it was decoded to its end with complaints, or it says
    /// so. Anything else may be the program's or the machine's fault.
    fn is_damage(&self, status: ExitStatus) -> bool {
        const CONTENT: [&str; 2] = ["Invalid data found when processing input", "End of file"];
        const MACHINE: [&str; 11] = [
            "alloc",
            "Decoder (codec",
            "Decoder not found",
            "no decoder found",
            "Permission denied",
            "Operation not permitted",
            "No such file or directory",
            "Input/output error",
            "Too many open files",
            "No space left on device",
            "Resource temporarily unavailable",
        ];
        let of_content = status.success() || CONTENT.iter().any(|phrase| self.says(phrase));
        of_content && !self.errors.is_empty() && !MACHINE.iter().any(|phrase| self.says(phrase))
    }
}

/// A line's source, level and text: `[h264 @ 0x5581] [error] text`. Of several sources the last is the nearest.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    const LEVELS: [&str; 8] = [
        "panic", "fatal", "error", "warning", "info", "verbose", "debug", "trace",
    ];
    let mut source = "";
    let mut rest = line;
    loop {
        let (mark, behind) = rest.strip_prefix('[')?.split_once(']')?;
        let behind = behind.strip_prefix(' ').unwrap_or(behind);
        if LEVELS.contains(&mark) {
            return Some((source, mark, behind));
        }
        source = mark.split(" @ ").next().unwrap_or_default();
        rest = behind;
    }
}

/// A text's start, which is all that is kept.
fn cut(text: &str) -> String {
    text.trim().chars().take(LONGEST).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn verdict(code: i32, log: &str) -> Result<(), VideoError> {
        Log::read(log.as_bytes()).verdict(ExitStatus::from_raw(code << 8))
    }

    fn damage(what: &str) -> Result<(), VideoError> {
        Err(VideoError::FfmpegDamage { what: what.into() })
    }

    const MAPPED: &str = "[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:a.mp4':
[info]     title           : [error] bad
[info]   Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 48x32, 12 fps (default)
[info]   Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp (default)
[info] Stream mapping:
[info]   Stream #0:0 -> #0:0 (h264 (native) -> ppm (native))
";

    #[test]
    fn sound_and_covers_are_none_of_ours() {
        let before = "[aac @ 0x5581] [error] Number of bands (27) exceeds limit (23).
[mjpeg @ 0x5582] [fatal] No JPEG data found in image
[mov,mp4,m4a,3gp,3g2,mj2 @ 0x5583] [warning] Could not find codec parameters for stream 1
Consider increasing the value for the 'analyzeduration' (0) options
";
        assert_eq!(verdict(0, &format!("{before}{MAPPED}")), Ok(()));
        let times = "[image2pipe @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer in stream 0: 9 >= 0\n";
        assert_eq!(verdict(0, &format!("{MAPPED}{times}")), Ok(()));
        // Sound says much, and is not to hide what follows.
        let many: String = (0..9999)
            .map(|n| format!("[aac @ 0x1] [error] {n}\n"))
            .collect();
        let cut = "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x2] [error] stream 0, offset 0x30: partial file\n";
        assert_eq!(
            verdict(0, &format!("{many}{cut}{MAPPED}")),
            damage("stream 0, offset 0x30: partial file")
        );
    }

    /// Of the second of two videos, which is opened before the first is mapped.
    #[test]
    fn what_is_none_of_the_first_videos_may_be_anothers() {
        let other = "[asf @ 0x5581] [error] packet_obj_size -4 invalid\n";
        let log = format!("{other}{MAPPED}");
        assert_eq!(verdict(0, &log), Ok(()));
        assert!(!Log::read(log.as_bytes()).is_quiet());
        assert!(Log::read(MAPPED.as_bytes()).is_quiet());
    }

    #[test]
    fn every_complaint_of_the_decoded_stream_counts() {
        let line = "[h264 @ 0x1] [error] error while decoding MB 1 0\n";
        let expected = damage("error while decoding MB 1 0");
        assert_eq!(verdict(0, &format!("{line}{MAPPED}")), expected);
        assert_eq!(verdict(0, &format!("{MAPPED}{line}{line}")), expected);
        let made_up = "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [warning] corrupt decoded frame\n";
        let found = verdict(0, &format!("{MAPPED}{made_up}"));
        assert_eq!(found, damage("corrupt decoded frame"));
        let of_7 = "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [error] Error submitting packet to decoder: \
                    Invalid data found when processing input\n";
        let found = verdict(69, &format!("{MAPPED}{of_7}"));
        assert!(
            matches!(found, Err(VideoError::FfmpegDamage { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn a_machines_fault_is_no_damage() {
        let faults = [
            (
                1,
                "[error] Unrecognized option 'vsync'.\n[fatal] Error splitting the argument list: Option not found\n",
            ),
            (
                1,
                "[fatal] Decoder (codec av1) not found for input stream #0:0\n",
            ),
            (
                1,
                "[vist#0:0/av1 @ 0x1] [error] Decoding requested, but no decoder found for: av1\n",
            ),
            (
                0,
                "[h264 @ 0x1] [error] get_buffer() failed: Cannot allocate memory\n",
            ),
            (1, "[error] file:a.mp4: Permission denied\n"),
            (
                0,
                "[in#0/mov @ 0x1] [error] Error during demuxing: Input/output error\n",
            ),
            (
                127,
                "ffmpeg: error while loading shared libraries: libx264.so.164\n",
            ),
            (
                1,
                "[h264 @ 0x1] [error] thread_create failed: Resource temporarily unavailable\n",
            ),
            (3, ""),
        ];
        for (code, log) in faults {
            let found = verdict(code, log);
            assert!(
                matches!(found, Err(VideoError::Ffmpeg { .. })),
                "{log}: {found:?}"
            );
        }
        let told = verdict(255, "[info] Exiting normally, received signal 15.\n");
        assert!(
            matches!(told, Err(VideoError::FfmpegStopped { .. })),
            "{told:?}"
        );
    }

    #[test]
    fn a_file_of_other_things_is_named_by_them() {
        let log = "[info]   Stream #0:0[0x1](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz
[fatal] Stream map '' matches no streams.
";
        let tracks = vec!["Audio: aac".to_owned()];
        assert_eq!(verdict(234, log), Err(VideoError::NoVideoTrack { tracks }));
    }
}
