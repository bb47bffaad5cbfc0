//! Another program computes the logits of the same clips.

use std::path::{Path, PathBuf};
use std::process::Command;

use ffn::exec::Input;
use ffn::model::Model;
use serde_json::{Value, json};

use super::models::{pixels, planes};
use crate::limit::InTime;

pub const CLIPS: usize = 2;
/// Relative L2 error of the logits. Each side sums in an order of its own, in float32; PyTorch's own error in float32
/// is about 2e-7 on the goldens, whose tolerance this is.
const TOLERANCE: f64 = 2e-6;

/// Files that are exchanged, and our logits.
pub struct Peer {
    folder: tempfile::TempDir,
    questions: Vec<Question>,
}

struct Question {
    name: String,
    expected: Vec<f32>,
    output: PathBuf,
}

impl Peer {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            questions: Vec::new(),
        }
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Random clips: what the other program is told of them.
    pub fn ask(&mut self, name: &str, model: &mut Model, frames: usize) -> Value {
        let (height, width) = model.graph().input;
        let input = pixels(CLIPS * frames, (height, width), frames as u64);
        let expected = model.evaluate(frames, CLIPS, Input::Values(&input));
        let shape = [CLIPS, frames, 3, height, width];
        let name = format!("{name} at {frames} frames");
        self.question(
            name,
            &planes(&input, (height, width)),
            shape,
            expected.unwrap(),
        )
    }

    /// What the other program is told of an input of this shape, whose logits must be these.
    pub fn question(
        &mut self,
        name: String,
        planes: &[f32],
        shape: [usize; 5],
        expected: Vec<f32>,
    ) -> Value {
        let number = self.questions.len();
        let output = self.folder.path().join(format!("{number}.output"));
        let told = json!({
            "input": self.file(&format!("{number}.input"), &to_bytes(planes)),
            "shape": shape,
            "output": output,
        });
        self.questions.push(Question {
            name,
            expected,
            output,
        });
        told
    }

    /// Runs a script of this folder over `jobs`; the largest error of its answers, which must be small.
    pub fn compare(&self, mut python: Command, script: &str, jobs: &Value) -> f64 {
        let jobs = self.file("jobs.json", jobs.to_string().as_bytes());
        run(python.arg(self::script(script)).arg(jobs));
        let errors = self.questions.iter().map(|question| {
            let found = from_bytes(&std::fs::read(&question.output).unwrap());
            let error = relative_error(&found, &question.expected);
            assert!(error <= TOLERANCE, "{}: {error:.1e}", question.name);
            error
        });
        errors.fold(0.0, f64::max)
    }
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/export")
        .join(name)
}

/// What a program prints, which must not fail.
pub fn run(command: &mut Command) -> String {
    let output = command.in_time();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// ‖found − expected‖ / ‖expected‖
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let pairs = found.iter().zip(expected);
    let error = square(&mut pairs.map(|(f, e)| f64::from(*f) - f64::from(*e)));
    (error / square(&mut expected.iter().map(|e| f64::from(*e)))).sqrt()
}

pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    let values = bytes.as_chunks().0.iter();
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
