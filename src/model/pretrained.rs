//! Weights from a file: safetensors with official or torchvision names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::names;
use super::state::Mistakes;
use crate::base::{Error, Kind, Result, files};
use crate::exec::Statistics;
use crate::graph::{Graph, ParamKind};

/// A file of weights whose hash is the experiment's.
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    /// `sha256`: what the experiment pins; without it nothing is read, and the error says what to write there.
    pub fn read(path: &Path, sha256: Option<&str>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            let message = format!("cannot read the initial weights `{}`: {error}", path.display());
            Error::new(Kind::Data, message).hint(
                "save a torchvision ResNet's state_dict there with safetensors.torch.save_file, or use init: Random",
            )
        })?;
        let computed = files::sha256(&bytes);
        let path = path.to_owned();
        match sha256 {
            Some(expected) if expected.eq_ignore_ascii_case(&computed) => Ok(Self { path, bytes }),
            Some(expected) => Err(Error::new(
                Kind::Data,
                format!(
                    "hash mismatch for the initial weights `{}`\n  expected: {expected}\n  computed: {computed}",
                    path.display()
                ),
            )
            .hint("this is another file than the experiment was written for; get that one, or pin this one")),
            None => Err(Error::new(
                Kind::Data,
                format!("the initial weights `{}` are not pinned", path.display()),
            )
            .hint(format!("write sha256: \"{computed}\" beside the file's name in the experiment"))),
        }
    }

    /// Every convolution and norm comes from the file, norms into every branch; the classifier's tensors are dropped
    /// and alterations taken where they are there. One error lists everything that does not fit.
    pub fn copy_into(
        &self,
        graph: &Graph,
        params: &mut [Vec<f32>],
        statistics: &mut Statistics,
    ) -> Result<()> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|error| {
            let message = format!(
                "`{}` is not a safetensors file: {error}",
                self.path.display()
            );
            Error::new(Kind::Data, message)
        })?;
        let mut search = Search::new(&tensors);
        for (param, values) in graph.params.iter().zip(params) {
            match param.kind {
                ParamKind::ClassifierWeight | ParamKind::ClassifierBias => {}
                ParamKind::Alteration => search.copy(&param.name, &param.shape, values, false),
                _ => search.copy(&param.name, &param.shape, values, true),
            }
        }
        let both = statistics.mean.iter_mut().zip(&mut statistics.var);
        for (stat, (mean, var)) in graph.stats.iter().zip(both) {
            let shape = [stat.channels];
            search.copy(&format!("{}.running_mean", stat.name), &shape, mean, true);
            search.copy(&format!("{}.running_var", stat.name), &shape, var, true);
        }
        search.finish(&format!(
            "file of initial weights `{}`",
            self.path.display()
        ))
    }
}

/// Finds tensors under any of their names and remembers which were used and what was wrong.
struct Search<'a> {
    tensors: &'a SafeTensors<'a>,
    used: BTreeSet<String>,
    mistakes: Mistakes,
}

impl<'a> Search<'a> {
    fn new(tensors: &'a SafeTensors<'a>) -> Self {
        Self {
            tensors,
            used: BTreeSet::new(),
            mistakes: Mistakes::default(),
        }
    }

    /// Copies the tensor called `name` in the graph, by its own name, the vanilla model's, or torchvision's.
    fn copy(&mut self, name: &str, shape: &[usize], values: &mut Vec<f32>, required: bool) {
        let vanilla = names::vanilla(name);
        let torchvision = vanilla.trim_start_matches("base_model.");
        let known = [name, &vanilla, torchvision];
        let found = known
            .into_iter()
            .find_map(|n| Some((n, self.tensors.tensor(n).ok()?)));
        let Some((key, view)) = found else {
            if required {
                let text = format!("{name} (also looked for as {torchvision})");
                self.mistakes.add("missing", &text);
            }
            return;
        };
        self.used.insert(key.to_owned());
        if view.shape() != shape {
            let text = format!("{key}: expected {shape:?}, found {:?}", view.shape());
            return self.mistakes.add("shape", &text);
        }
        match to_float32(&view) {
            Some(read) => *values = read,
            None => {
                let text = format!("{key}: expected floating point, found {:?}", view.dtype());
                self.mistakes.add("type", &text);
            }
        }
    }

    fn finish(mut self, what: &str) -> Result<()> {
        let mut names: Vec<&str> = self.tensors.names();
        names.sort_unstable();
        for name in names {
            let dropped = name.starts_with("fc.")
                || name.starts_with("new_fc.")
                || name.ends_with(".num_batches_tracked");
            if !dropped && !self.used.contains(name) {
                self.mistakes.add("unexpected", name);
            }
        }
        self.mistakes.into_result(Kind::Data, what)
    }
}

/// Values of a tensor of any floating type that checkpoints use.
pub fn to_float32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F32 => chunks(bytes).map(f32::from_le_bytes).collect(),
        Dtype::F64 => chunks(bytes)
            .map(|b| f64::from_le_bytes(b) as f32)
            .collect(),
        Dtype::F16 => chunks(bytes)
            .map(|b| half::f16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::BF16 => chunks(bytes)
            .map(|b| half::bf16::from_le_bytes(b).to_f32())
            .collect(),
        _ => return None,
    };
    Some(values)
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}
