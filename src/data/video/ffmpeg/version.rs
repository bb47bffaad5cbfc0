//! Which `ffmpeg` this is.

use std::ffi::OsString;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::super::VideoError;
use super::PROGRAM;
use super::process::Process;

/// The versions whose options and results are known: `.ci/ffmpeg` gets some of them for the tests.
const SUPPORTED: &str = "4.4 to 9";
const OLDEST: (u32, u32) = (4, 4);
const NEWEST_MAJOR: u32 = 9;

/// The first version that calls its rule of times `-fps_mode`; of the older name `-vsync` the newest know nothing.
const NAMES_FPS_MODE: (u32, u32) = (5, 1);

/// How long the program may take to start and say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// Major and minor number of a supported release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub (u32, u32));

impl Version {
    /// The option that takes `passthrough`: frames are neither left out nor shown twice to keep a rate.
    pub fn rule_of_times(self) -> &'static str {
        match self.0 >= NAMES_FPS_MODE {
            true => "-fps_mode",
            false => "-vsync",
        }
    }
}

/// The version of the `ffmpeg` that is there, unless it is not supported; `format` is for the error where there is none. Asked
/// once in a process.
pub fn check(format: &str) -> Result<Version, VideoError> {
    static FOUND: Mutex<Option<Version>> = Mutex::new(None);
    let mut known = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = *known {
        return Ok(version);
    }
    let found = ask().map_err(|error| match error {
        VideoError::NeedsFfmpeg { .. } => VideoError::NeedsFfmpeg {
            format: format.to_owned(),
        },
        error => error,
    })?;
    match parse(&found).filter(|found| is_supported(*found)) {
        Some(version) => Ok(*known.insert(Version(version))),
        None => Err(VideoError::FfmpegVersion {
            found,
            supported: SUPPORTED,
        }),
    }
}

/// What the program calls its version: the third word that it says.
fn ask() -> Result<String, VideoError> {
    const ENOUGH: u64 = 1 << 16;
    let (mut process, outputs) =
        Process::start(PROGRAM, &|_| vec![OsString::from("-version")], 1, PATIENCE)?;
    let mut said = Vec::new();
    let read = outputs
        .into_iter()
        .try_for_each(|output| output.take(ENOUGH).read_to_end(&mut said).map(drop));
    process.finish()?;
    read.map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("ffmpeg"), Some("version"), Some(version)) => Ok(cut(version)),
        (None, ..) => Err(failed("it does not say its version".to_owned())),
        _ => Err(failed(format!(
            "it does not say its version, but `{}`",
            cut(line)
        ))),
    }
}

fn failed(what: String) -> VideoError {
    VideoError::Ffmpeg { what }
}

/// As much of a text as fits into a sentence.
fn cut(text: &str) -> String {
    const LONGEST: usize = 60;
    text.chars().take(LONGEST).collect()
}

/// Major and minor number of a release, as distributors write them: `5.1.9-0+deb12u1`, `n7.1`, `7.0.2-static`. Builds from
/// between two releases, such as `N-118193-g5f38c82536` or `2026-01-05-git-2892815c45`, have none.
fn parse(version: &str) -> Option<(u32, u32)> {
    let version = version.strip_prefix('n').unwrap_or(version);
    let number = |text: &str| {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    match version.split_once('.') {
        Some((major, rest)) => Some((major.parse().ok()?, number(rest)?)),
        None => Some((number(version)?, 0)),
    }
}

fn is_supported((major, minor): (u32, u32)) -> bool {
    (major, minor) >= OLDEST && major <= NEWEST_MAJOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_times_is_called_as_the_version_calls_it() {
        let name = |version| Version(version).rule_of_times();
        assert_eq!([(4, 4), (5, 0)].map(name), ["-vsync"; 2]);
        assert_eq!([(5, 1), (6, 0), (9, 0)].map(name), ["-fps_mode"; 3]);
    }

    #[test]
    fn releases_are_told_from_builds_between_them() {
        let cases = [
            ("5.1.9-0+deb12u1", true),
            ("6.0-static", true),
            ("7.0.2-static", true),
            ("n7.1", true),
            ("8", true),
            ("n9.0.2-17-g2a571b6068-20260930", true),
            ("4.2.2-static", false),
            ("4.3.9-0+deb11u1", false),
            ("4.4.2-0ubuntu0.22.04.1", true),
            ("5.0.1", true),
            ("10.0", false),
            ("N-118193-g5f38c82536", false),
            ("2026-01-05-git-2892815c45-full_build", false),
            ("git-2020-01-01", false),
            ("", false),
            ("99999999999.1", false),
        ];
        for (version, supported) in cases {
            let found = parse(version).is_some_and(is_supported);
            assert_eq!(found, supported, "{version}");
        }
    }
}
