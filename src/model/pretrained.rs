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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::golden::{Network, experiment};
    use crate::spec::{
        Alteration, Backbone, Block, Distillation, Ffn, Init, Method, Norms, ResNet, ShiftSegments,
        Stem,
    };

    /// Shape, type and bytes by name.
    type File = BTreeMap<String, (Vec<usize>, Dtype, Vec<u8>)>;

    fn graph(method: Method) -> Graph {
        let experiment = experiment(&Network {
            method,
            backbone: Backbone::ResNet(ResNet {
                block: Block::Bottleneck,
                blocks: vec![1],
                width: 8,
                stem: Stem::ImageNet,
            }),
            classes: 3,
            size: 32,
            training: None,
        });
        assert_eq!(experiment.model.init, Init::Random);
        Graph::build(&experiment, (32, 32)).unwrap()
    }

    fn flexible() -> Graph {
        graph(Method::Ffn(Ffn {
            frames: vec![4, 8],
            lambda: 1.0,
            alteration: Alteration::Normal { std: 1e-3 },
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: ShiftSegments::PerBranch,
        }))
    }

    /// What torchvision would save for the same backbone: every value is the number of the tensor.
    fn torchvision() -> File {
        let graph = graph(Method::Vanilla { frames: 8 });
        let mut file = File::new();
        let params = graph
            .params
            .iter()
            .map(|p| (p.name.clone(), p.shape.clone()));
        let stats = graph.stats.iter().flat_map(|s| {
            ["running_mean", "running_var"]
                .map(|kind| (format!("{}.{kind}", s.name), vec![s.channels]))
        });
        for (number, (name, shape)) in params.chain(stats).enumerate() {
            let name = name.replace("base_model.", "").replace("new_fc.", "fc.");
            file.insert(name, floats(&shape, number as f32));
        }
        file.insert(
            "bn1.num_batches_tracked".to_owned(),
            (vec![], Dtype::I64, vec![0; 8]),
        );
        file
    }

    fn floats(shape: &[usize], value: f32) -> (Vec<usize>, Dtype, Vec<u8>) {
        let count: usize = shape.iter().product();
        (
            shape.to_vec(),
            Dtype::F32,
            value.to_le_bytes().repeat(count),
        )
    }

    fn load(file: &File, graph: &Graph) -> Result<BTreeMap<String, f32>> {
        let views = file.iter().map(|(name, (shape, dtype, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let weights = Weights {
            path: "weights.safetensors".into(),
            bytes: safetensors::serialize(views, None).unwrap(),
        };
        let mut params: Vec<Vec<f32>> = graph.params.iter().map(|_| vec![-1.0]).collect();
        let mut statistics = Statistics {
            mean: vec![vec![]; graph.stats.len()],
            var: vec![vec![]; graph.stats.len()],
            batches: vec![0; graph.stats.len()],
        };
        weights.copy_into(graph, &mut params, &mut statistics)?;
        let names = graph.params.iter().map(|p| p.name.clone());
        let means = graph.stats.iter().zip(&statistics.mean);
        let means = means.map(|(s, v)| (format!("{}.running_mean", s.name), v[0]));
        Ok(names
            .zip(params.iter().map(|v| v[0]))
            .chain(means)
            .collect())
    }

    #[test]
    fn torchvision_names_reach_every_branch() {
        let file = torchvision();
        let value = |name: &str| f32::from_le_bytes(file[name].2[..4].try_into().unwrap());
        let found = load(&file, &flexible()).unwrap();
        for (own, source) in [
            ("base_model.conv1.weight", "conv1.weight"),
            ("base_model.bn1_4.weight", "bn1.weight"),
            ("base_model.bn1_8.running_mean", "bn1.running_mean"),
            (
                "base_model.layer1.0.downsample_conv.weight",
                "layer1.0.downsample.0.weight",
            ),
            (
                "base_model.layer1.0.downsample_bn_8.bias",
                "layer1.0.downsample.1.bias",
            ),
        ] {
            assert_eq!(found[own], value(source), "{own}");
        }
        assert_eq!(found["new_fc.weight"], -1.0);
        assert_eq!(found["base_model.layer1.0.adaconv_4.weight"], -1.0);
    }

    #[test]
    fn other_floating_types_are_converted() {
        let mut file = torchvision();
        let shape = file["bn1.weight"].0.clone();
        let mut put = |name: &str, dtype, bytes: &[u8]| {
            file.insert(
                name.to_owned(),
                (shape.clone(), dtype, bytes.repeat(shape[0])),
            );
        };
        put(
            "bn1.weight",
            Dtype::F16,
            &half::f16::from_f32(0.1).to_le_bytes(),
        );
        put(
            "bn1.bias",
            Dtype::BF16,
            &half::bf16::from_f32(0.1).to_le_bytes(),
        );
        put("bn1.running_mean", Dtype::F64, &0.1f64.to_le_bytes());
        let found = load(&file, &graph(Method::Vanilla { frames: 8 })).unwrap();
        assert_eq!(found["base_model.bn1.weight"], 0.099_975_586);
        assert_eq!(found["base_model.bn1.bias"], 0.100_097_656);
        assert_eq!(found["base_model.bn1.running_mean"], 0.1);
    }

    #[test]
    fn every_mistake_of_a_file_is_listed() {
        let mut file = torchvision();
        file.remove("conv1.weight");
        file.insert("layer9.weight".to_owned(), floats(&[1], 0.0));
        file.insert("bn1.weight".to_owned(), floats(&[2], 0.0));
        file.insert("bn1.bias".to_owned(), (vec![8], Dtype::U8, vec![0; 8]));
        let error = load(&file, &graph(Method::Vanilla { frames: 8 })).unwrap_err();
        assert_eq!(error.kind, Kind::Data);
        insta::assert_snapshot!(error.message, @r"
        the file of initial weights `weights.safetensors` does not fit the model:
          missing    base_model.conv1.weight (also looked for as conv1.weight)
          shape      bn1.weight: expected [8], found [2]
          type       bn1.bias: expected floating point, found U8
          unexpected layer9.weight
        ");
    }

    #[test]
    fn the_hash_is_checked_and_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hash = files::sha256(b"");
        let read = |sha256| Weights::read(file.path(), sha256).map(|_| ());
        assert!(read(Some(hash.as_str())).is_ok());
        let message = read(Some("00")).unwrap_err().message;
        assert!(
            message.contains("expected: 00\n") && message.ends_with(&format!("computed: {hash}"))
        );
        let unpinned = read(None).unwrap_err();
        assert!(unpinned.hint.unwrap().contains(&hash));
    }
}
