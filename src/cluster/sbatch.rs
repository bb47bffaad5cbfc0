//! Slurm's commands.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use crate::base::{Error, Kind, Result, Shown};

/// Gives a script to `sbatch`; the job's number. `after`: the jobs and elements that must have ended before it begins.
pub fn submit(script: &str, after: &[String]) -> Result<String> {
    let mut command = Command::new("sbatch");
    command.arg("--parsable");
    if !after.is_empty() {
        command.arg(format!("--dependency=afterany:{}", after.join(":")));
    }
    let answer = answer(command, script)?;
    // On some sites `job;cluster`.
    let job = answer.trim().split(';').next().unwrap_or_default();
    let is_number = !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_digit());
    match is_number {
        true => Ok(job.to_owned()),
        false => Err(Error::new(
            Kind::Usage,
            format!("sbatch did not name the job: `{}`", answer.trim().shown()),
        )),
    }
}

/// What a command says on stdout; what it says on stderr where it fails.
fn answer(mut command: Command, input: &str) -> Result<String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unusable(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| unusable(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(
        Error::new(Kind::Usage, format!("sbatch refused the job: {said}"))
            .hint("`--print` shows the script; `sinfo` lists partitions and their limits"),
    )
}

fn unusable(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::new(
            Kind::Usage,
            "there is no `sbatch` on this machine, the command by which Slurm takes jobs",
        )
        .hint(
            "log in where jobs are submitted; `--print` writes the script here and submits nothing",
        ),
        _ => Error::new(Kind::Usage, format!("cannot use `sbatch`: {error}")),
    }
}
