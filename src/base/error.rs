//! The one error type that reaches a person.
//!
//! A message says what was expected and what was found, with the id and path; a hint says what to do.
//! Stages may have typed errors of their own (the video reader has), which convert into this one.

use std::fmt;

use super::Shown;

/// What went wrong, as far as the exit code is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Flags or arguments that make no sense together.
    Usage,
    /// An experiment file with mistakes.
    Experiment,
    /// Data that is missing, damaged or not the pinned data.
    Data,
    /// A run folder that is damaged, of another experiment, or in use.
    Run,
    /// Training produced a value that is not finite.
    Diverged,
    /// A comparison was made and failed: goldens, hashes.
    Mismatch,
    /// Two things were asked to be compared, and differ: an answer and no error.
    Different,
    /// An editor did not keep to the protocol.
    Protocol,
    /// A claim of a suite is refuted by its runs.
    Refuted,
    /// No claim of a suite is refuted, but the runs do not settle all.
    Unsettled,
    /// The device or its memory.
    Device,
    /// The operating system refused a read or a write.
    Io,
    /// Nobody reads the output any more: a pipe whose reader has ended.
    Unread,
    /// Stopped on request with everything saved; the run can be resumed.
    Stopped,
}

impl Kind {
    /// The exit code of a process that ends with such an error; `cli::exit_codes` says what they mean.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Mismatch | Self::Different | Self::Protocol => 1,
            Self::Usage => 2,
            Self::Experiment => 3,
            Self::Data => 4,
            Self::Run => 5,
            Self::Diverged => 6,
            Self::Device => 7,
            Self::Io => 8,
            Self::Refuted => 9,
            Self::Unsettled => 10,
            Self::Stopped => 75,
            Self::Unread => 141,
        }
    }
}

/// An error with a message for the person who can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    /// Lowercase, without a final full stop. May have several lines.
    pub message: String,
    pub hint: Option<String>,
}

/// The result of everything that can fail for a reason outside the code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An input or output error at a path.
    pub fn io(action: &str, path: &std::path::Path, source: &std::io::Error) -> Self {
        Self::new(
            Kind::Io,
            format!("cannot {action} `{}`: {source}", path.shown()),
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
