//! What the exit codes of [`crate::base::Kind`] mean, for `ffn --help`.

pub const HELP: &str = "\
Exit codes:
    0  done
    1  compared and found different: goldens, hashes; of `lsp`: the editor left without a shutdown
    2  wrong flags or arguments
    3  an experiment or suite file has mistakes
    4  data are missing, damaged or not the pinned ones
    5  a run folder is damaged, of another experiment, in use, or not finished where it must be
    6  training diverged: a value was not finite
    7  the device or its memory
    8  the operating system refused a read or a write
    9  a claim of a suite is refuted
   10  with --strict: no claim of a suite is refuted, but one is open
   75  stopped on request or by --max-minutes, everything saved; run again to resume
  130  ended by a second Ctrl-C, without saving
  141  nobody reads the output any more, as `| head` ends it";
