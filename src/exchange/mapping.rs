//! Which tensor of a checkpoint is which parameter of ours.
//!
//! One table of rules for `ffn import`, for initial weights, and for whoever else reads weights. Each tensor of a graph
//! is looked for under its official name, under the vanilla model's (whose norms then serve every branch) and under
//! torchvision's; every tensor that stays unexplained on either side is a mistake, and all are told at once.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::read::{Checkpoint, Dtype, Floats, Tensor};
use crate::base::{Error, Kind, Mistakes, Result};
use crate::graph::{Graph, ParamKind};

/// What the weights are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The model as somebody trained it: classifier and counters with it.
    Whole,
    /// To train from: the classifier and the counters of norms begin anew.
    Initial,
}

/// What a tensor of a graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Param(ParamKind),
    /// A running mean or variance.
    Statistic,
    /// `num_batches_tracked`
    Counter,
}

impl Role {
    fn is_classifier(self) -> bool {
        matches!(
            self,
            Role::Param(ParamKind::ClassifierWeight | ParamKind::ClassifierBias)
        )
    }
}

/// A tensor that a graph needs, under its official name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
}

/// Every tensor of a whole checkpoint: parameters, then for each norm mean, variance and counter.
pub fn wanted(graph: &Graph) -> Vec<Wanted> {
    let params = graph.params.iter().map(|param| Wanted {
        name: param.name.clone(),
        shape: param.shape.clone(),
        role: Role::Param(param.kind),
    });
    let stats = graph.stats.iter().flat_map(|stat| {
        let of = |kind: &str, shape, role| Wanted {
            name: format!("{}.{kind}", stat.name),
            shape,
            role,
        };
        [
            of("running_mean", vec![stat.channels], Role::Statistic),
            of("running_var", vec![stat.channels], Role::Statistic),
            of("num_batches_tracked", vec![], Role::Counter),
        ]
    });
    params.chain(stats).collect()
}

/// Why a tensor of ours has the values that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The same name.
    Official,
    /// TSM's own code wraps the convolution that it shifts: `conv1.net.weight` is `conv1.weight`.
    ShiftModule,
    /// The vanilla model's: `bn1` for every `bn1_T`, `downsample.0` for `downsample_conv`.
    Vanilla,
    /// torchvision's ResNet: the vanilla name without `base_model.`.
    Torchvision,
    /// Not in the file by its nature; what the experiment begins with stays.
    Initial,
    /// Not taken because the person said so; what the experiment begins with stays.
    Waived,
}

impl Rule {
    /// In a person's words.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Official => "official name",
            Rule::ShiftModule => "TSM's shift module",
            Rule::Vanilla => "vanilla name",
            Rule::Torchvision => "torchvision name",
            Rule::Initial => "initial value",
            Rule::Waived => "waived",
        }
    }
}

/// A tensor of ours and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    pub wanted: Wanted,
    /// `None`: see the rule.
    pub source: Option<&'a Tensor>,
    pub rule: Rule,
}

/// A tensor of the file that nothing is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropped<'a> {
    pub source: &'a Tensor,
    pub why: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Mapping<'a> {
    /// One for each tensor of the graph, in the order of [`wanted`].
    pub rows: Vec<Row<'a>>,
    /// In the file's order.
    pub dropped: Vec<Dropped<'a>>,
}

impl<'a> Mapping<'a> {
    /// Maps a checkpoint onto a graph. `waive`: names of tensors, `*` standing for any characters, that may be missing,
    /// left over or of another shape. `what` is for the message.
    pub fn new(
        what: &str,
        graph: &Graph,
        checkpoint: &'a Checkpoint,
        purpose: Purpose,
        waive: &[String],
    ) -> Result<Self> {
        let mut matcher = Matcher::new(checkpoint, purpose, waive);
        let rows = wanted(graph).into_iter();
        let rows = rows.map(|wanted| matcher.row(wanted)).collect();
        let dropped = checkpoint.tensors.iter();
        let dropped = dropped.filter_map(|t| matcher.left_over(t)).collect();
        matcher.finish(what)?;
        Ok(Self { rows, dropped })
    }

    /// Tensors of ours that the file does not give.
    pub fn absent(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| row.source.is_none())
    }

    /// An error unless the file gives every tensor of ours; counters, which nothing is computed from, may be absent.
    pub fn check_whole(&self, what: &str) -> Result<()> {
        let mut mistakes = Mistakes::default();
        for row in self.absent().filter(|row| row.wanted.role != Role::Counter) {
            mistakes.add("missing", &row.wanted.name);
        }
        mistakes.into_result(Kind::Data, what)
    }

    /// The values of every tensor that the file gives. NaN and infinity are an error that names the tensors, unless
    /// they are allowed: no logit that such a model computes means anything, so nobody wants them without knowing.
    pub fn load(&self, allow_non_finite: bool) -> Result<Loaded> {
        let mut sources: BTreeMap<&str, Floats> = BTreeMap::new();
        let mut loaded = Loaded::default();
        for row in &self.rows {
            let Some(source) = row.source else { continue };
            if row.wanted.role == Role::Counter {
                let count = source.integer().and_then(|n| u64::try_from(n).ok());
                let counter = (row.wanted.name.clone(), count.unwrap_or_default());
                loaded.counters.push(counter);
                continue;
            }
            if !sources.contains_key(source.key.as_str()) {
                let floats = source.floats().unwrap_or_default();
                loaded.count(source, &floats);
                sources.insert(&source.key, floats);
            }
            let values = sources.get(source.key.as_str());
            let values = values.map(|floats| floats.values.clone());
            let (name, shape) = (row.wanted.name.clone(), row.wanted.shape.clone());
            loaded
                .floats
                .push((name, shape, values.unwrap_or_default()));
        }
        match loaded.not_finite.is_empty() || allow_non_finite {
            true => Ok(loaded),
            false => Err(not_finite(&loaded.not_finite)),
        }
    }
}

/// The values of a mapping, in the order of its rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// Name, shape, values in row-major order.
    pub floats: Vec<(String, Vec<usize>, Vec<f32>)>,
    pub counters: Vec<(String, u64)>,
    /// What came from each type but float32.
    pub conversions: BTreeMap<&'static str, Conversion>,
    /// Keys of the file with values that are NaN or infinite.
    pub not_finite: Vec<NotFinite>,
}

/// What became of the tensors of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Conversion {
    pub tensors: usize,
    pub values: usize,
    /// Values that no float32 equals: the nearest was taken.
    pub rounded: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NotFinite {
    pub key: String,
    pub values: usize,
    pub of: usize,
    /// Those of them that are finite in the file, and too large for float32.
    pub overflowed: usize,
}

impl Loaded {
    fn count(&mut self, source: &Tensor, floats: &Floats) {
        if source.dtype != Dtype::Float32 {
            let conversion = self.conversions.entry(source.dtype.name()).or_default();
            conversion.tensors += 1;
            conversion.values += floats.values.len();
            conversion.rounded += floats.rounded;
        }
        if floats.not_finite > 0 {
            self.not_finite.push(NotFinite {
                key: source.key.clone(),
                values: floats.not_finite,
                of: floats.values.len(),
                overflowed: floats.overflowed,
            });
        }
    }
}

fn not_finite(tensors: &[NotFinite]) -> Error {
    let line = |tensor: &NotFinite| {
        let NotFinite {
            key,
            values,
            of,
            overflowed,
        } = tensor;
        let beyond = match overflowed {
            0 => String::new(),
            n => format!(", {n} of them beyond the range of float32"),
        };
        format!("\n  {key}: {values} of {of}{beyond}")
    };
    let lines: String = tensors.iter().map(line).collect();
    Error::new(
        Kind::Data,
        format!("values that are NaN or infinite:{lines}"),
    )
}

/// Finds tensors under any of their names, and remembers what was used and what was wrong.
struct Matcher<'a, 'w> {
    /// By name, `net` of TSM's shift modules left out.
    tensors: BTreeMap<String, &'a Tensor>,
    style: Style,
    purpose: Purpose,
    /// Patterns, and whether each was of use.
    waive: Vec<(&'w str, bool)>,
    used: BTreeSet<&'a str>,
    mistakes: Mistakes,
}

/// What kind of names a file has.
struct Style {
    torchvision: bool,
    alterations: bool,
    /// PyTorch counts batches since 0.4.1.
    counters: bool,
}

impl<'a, 'w> Matcher<'a, 'w> {
    fn new(checkpoint: &'a Checkpoint, purpose: Purpose, waive: &'w [String]) -> Self {
        let any = |test: &dyn Fn(&str) -> bool| checkpoint.tensors.iter().any(|t| test(&t.name));
        let style = Style {
            torchvision: !any(&|name| name.starts_with("base_model.")),
            alterations: any(&|name| name.contains(".adaconv_")),
            counters: any(&is_counter),
        };
        let mut mistakes = Mistakes::default();
        let mut tensors = BTreeMap::new();
        for tensor in &checkpoint.tensors {
            let name = names::without_shift_module(&tensor.name);
            if tensors.insert(name, tensor).is_some() {
                mistakes.add("twice", &tensor.key);
            }
        }
        Self {
            tensors,
            style,
            purpose,
            waive: waive
                .iter()
                .map(|pattern| (pattern.as_str(), false))
                .collect(),
            used: BTreeSet::new(),
            mistakes,
        }
    }

    fn row(&mut self, wanted: Wanted) -> Row<'a> {
        let begins_anew = wanted.role.is_classifier() || wanted.role == Role::Counter;
        if self.purpose == Purpose::Initial && begins_anew {
            return Row {
                wanted,
                source: None,
                rule: Rule::Initial,
            };
        }
        let found = self.find(&wanted.name);
        let (source, rule) = match found {
            Some((tensor, rule)) => match misfit(&wanted, tensor) {
                None => (Some(tensor), rule),
                Some(_) if self.waives(&[&wanted.name, &tensor.key]) => (None, Rule::Waived),
                Some((kind, text)) => {
                    self.mistakes.add(kind, &text);
                    (Some(tensor), rule)
                }
            },
            None if self.may_be_absent(wanted.role) => (None, Rule::Initial),
            None if self.waives(&[&wanted.name]) => (None, Rule::Waived),
            None => {
                self.mistakes.add("missing", &wanted.name);
                (None, Rule::Initial)
            }
        };
        self.used.extend(source.map(|tensor| tensor.key.as_str()));
        Row {
            wanted,
            source,
            rule,
        }
    }

    /// By the tensor's own name, the vanilla model's, or torchvision's.
    fn find(&self, name: &str) -> Option<(&'a Tensor, Rule)> {
        let vanilla = names::vanilla(name);
        let torchvision = vanilla.trim_start_matches("base_model.");
        let known = [
            (name, Rule::Official),
            (&vanilla, Rule::Vanilla),
            (torchvision, Rule::Torchvision),
        ];
        let (tensor, rule) = known
            .into_iter()
            .find_map(|(name, rule)| Some((*self.tensors.get(name)?, rule)))?;
        let wrapped = rule == Rule::Official && tensor.name != name;
        Some((tensor, if wrapped { Rule::ShiftModule } else { rule }))
    }

    /// Whether a file of this kind never has such a tensor.
    fn may_be_absent(&self, role: Role) -> bool {
        match role {
            Role::Param(ParamKind::Alteration) => !self.style.alterations,
            Role::Counter => !self.style.counters,
            _ => role.is_classifier() && self.style.torchvision,
        }
    }

    /// Why a tensor that was not used may be left, or else a mistake.
    fn left_over(&mut self, source: &'a Tensor) -> Option<Dropped<'a>> {
        if self.used.contains(source.key.as_str()) {
            return None;
        }
        let initial = self.purpose == Purpose::Initial;
        let classifier = |prefix| source.name.starts_with(prefix);
        let why = match () {
            () if classifier("fc.") && self.style.torchvision => "classifier of another task",
            () if classifier("new_fc.") && initial => "the classifier begins anew",
            () if is_counter(&source.name) && initial => "the counters begin anew",
            () if self.waives(&[&source.key, &source.name]) => "waived",
            () => {
                self.mistakes.add("unexpected", &source.key);
                return None;
            }
        };
        Some(Dropped { source, why })
    }

    fn waives(&mut self, names: &[&str]) -> bool {
        let mut waived = false;
        for (pattern, used) in &mut self.waive {
            let matches = names.iter().any(|name| matches(pattern, name));
            *used |= matches;
            waived |= matches;
        }
        waived
    }

    fn finish(mut self, what: &str) -> Result<()> {
        for (pattern, _) in self.waive.iter().filter(|(_, used)| !used) {
            let text =
                format!("{pattern}: nothing of that name is missing, left over or misshapen");
            self.mistakes.add("waived", &text);
        }
        self.mistakes.into_result(Kind::Data, what)
    }
}

fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

/// Why a tensor cannot be what its name says: kind and text of the mistake.
fn misfit(wanted: &Wanted, tensor: &Tensor) -> Option<(&'static str, String)> {
    let (key, found) = (&tensor.key, tensor.dtype.name());
    if wanted.role == Role::Counter {
        let text = format!("{key}: expected a whole number, not negative");
        return match tensor.integer() {
            Some(0..) => None,
            _ => Some(("value", text)),
        };
    }
    let floating = matches!(
        tensor.dtype,
        Dtype::Float64 | Dtype::Float32 | Dtype::Float16 | Dtype::BFloat16
    );
    if tensor.shape != wanted.shape {
        let (expected, found) = (&wanted.shape, &tensor.shape);
        let text = format!("{key}: expected {expected:?}, found {found:?}");
        return Some(("shape", text));
    }
    (!floating).then(|| {
        let text = format!("{key}: expected floating point, found {found}");
        ("type", text)
    })
}

/// Whether a name has the form of a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match name.split_once(part) {
            Some((_, behind)) => name = behind,
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::read::Format;
    use crate::golden::{Network, experiment};
    use crate::spec::{
        Alteration, Backbone, Block, Distillation, Ffn, Method, Norms, ResNet, ShiftSegments, Stem,
    };

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
        Graph::build(&experiment, (32, 32)).unwrap()
    }

    fn vanilla() -> Graph {
        graph(Method::Vanilla { frames: 8 })
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

    fn floats(key: &str, shape: &[usize], value: f32) -> Tensor {
        let count = shape.iter().product();
        let bytes = value.to_le_bytes().repeat(count);
        Tensor::new(key, shape.to_vec(), Dtype::Float32, bytes).unwrap()
    }

    /// A checkpoint of a graph whose keys are renamed; every value of a tensor is its number, counters are 7.
    fn checkpoint(graph: &Graph, rename: impl Fn(&str) -> String) -> Checkpoint {
        let tensor = |(number, wanted): (usize, Wanted)| match wanted.role {
            Role::Counter => {
                let bytes = 7i64.to_le_bytes().to_vec();
                Tensor::new(&rename(&wanted.name), vec![], Dtype::Int64, bytes).unwrap()
            }
            _ => floats(&rename(&wanted.name), &wanted.shape, number as f32),
        };
        Checkpoint {
            format: Format::PyTorchZip,
            tensors: wanted(graph).into_iter().enumerate().map(tensor).collect(),
            extras: vec![],
        }
    }

    fn torchvision() -> Checkpoint {
        checkpoint(&vanilla(), |name| {
            name.replace("base_model.", "").replace("new_fc.", "fc.")
        })
    }

    fn map<'a>(graph: &Graph, checkpoint: &'a Checkpoint, waive: &[&str]) -> Result<Mapping<'a>> {
        let waive: Vec<String> = waive.iter().map(|&pattern| pattern.to_owned()).collect();
        Mapping::new("checkpoint", graph, checkpoint, Purpose::Whole, &waive)
    }

    /// Key and rule of what became of a tensor of ours.
    fn origin<'a>(mapping: &Mapping<'a>, name: &str) -> (Option<&'a str>, Rule) {
        let row = mapping
            .rows
            .iter()
            .find(|row| row.wanted.name == name)
            .unwrap();
        (row.source.map(|tensor| tensor.key.as_str()), row.rule)
    }

    #[test]
    fn official_names_are_taken_as_they_are() {
        let graph = flexible();
        let file = checkpoint(&graph, |name| format!("module.{name}"));
        let mapping = map(&graph, &file, &[]).unwrap();
        assert!(mapping.rows.iter().all(|row| row.rule == Rule::Official));
        assert!(mapping.dropped.is_empty());
        let loaded = mapping.load(false).unwrap();
        let own = wanted(&graph);
        assert_eq!(loaded.floats.len() + loaded.counters.len(), own.len());
        for (name, shape, values) in &loaded.floats {
            let number = own.iter().position(|wanted| wanted.name == *name).unwrap();
            assert_eq!(own[number].shape, *shape);
            assert!(values.iter().all(|&v| v == number as f32), "{name}");
        }
        assert!(loaded.counters.iter().all(|(_, count)| *count == 7));
        assert!(loaded.conversions.is_empty());
    }

    #[test]
    fn a_vanilla_model_serves_every_branch() {
        let file = checkpoint(&vanilla(), str::to_owned);
        let mapping = map(&flexible(), &file, &[]).unwrap();
        for (own, source, rule) in [
            (
                "base_model.conv1.weight",
                "base_model.conv1.weight",
                Rule::Official,
            ),
            (
                "base_model.bn1_4.bias",
                "base_model.bn1.bias",
                Rule::Vanilla,
            ),
            (
                "base_model.bn1_8.bias",
                "base_model.bn1.bias",
                Rule::Vanilla,
            ),
            (
                "base_model.layer1.0.downsample_bn_8.running_var",
                "base_model.layer1.0.downsample.1.running_var",
                Rule::Vanilla,
            ),
            ("new_fc.weight", "new_fc.weight", Rule::Official),
        ] {
            assert_eq!(origin(&mapping, own), (Some(source), rule), "{own}");
        }
        let alteration = origin(&mapping, "base_model.layer1.0.adaconv_4.weight");
        assert_eq!(alteration, (None, Rule::Initial));
    }

    #[test]
    fn torchvision_gives_all_but_alteration_and_classifier() {
        let file = torchvision();
        let mapping = map(&flexible(), &file, &[]).unwrap();
        let of_downsample = origin(&mapping, "base_model.layer1.0.downsample_conv.weight");
        let expected = Some("layer1.0.downsample.0.weight");
        assert_eq!(of_downsample, (expected, Rule::Torchvision));
        let absent: Vec<&str> = mapping
            .absent()
            .map(|row| row.wanted.name.as_str())
            .collect();
        assert_eq!(
            absent,
            [
                "base_model.layer1.0.adaconv_4.weight",
                "base_model.layer1.0.adaconv_8.weight",
                "new_fc.weight",
                "new_fc.bias"
            ]
        );
        let dropped: Vec<&str> = mapping
            .dropped
            .iter()
            .map(|d| d.source.key.as_str())
            .collect();
        assert_eq!(dropped, ["fc.weight", "fc.bias"]);
    }

    #[test]
    fn shift_modules_of_tsm_are_seen_through() {
        let file = checkpoint(&vanilla(), |name| {
            name.replace("0.conv1.weight", "0.conv1.net.weight")
        });
        let mapping = map(&vanilla(), &file, &[]).unwrap();
        assert_eq!(
            origin(&mapping, "base_model.layer1.0.conv1.weight"),
            (
                Some("base_model.layer1.0.conv1.net.weight"),
                Rule::ShiftModule
            )
        );
    }

    #[test]
    fn a_training_begins_with_a_classifier_of_its_own() {
        let graph = vanilla();
        let file = checkpoint(&graph, str::to_owned);
        let mapping = Mapping::new("file", &graph, &file, Purpose::Initial, &[]).unwrap();
        assert_eq!(origin(&mapping, "new_fc.weight"), (None, Rule::Initial));
        assert!(mapping.load(false).unwrap().counters.is_empty());
        assert!(
            mapping
                .dropped
                .iter()
                .any(|d| d.source.key == "new_fc.bias")
        );
    }

    #[test]
    fn every_mistake_is_listed() {
        let mut file = checkpoint(&vanilla(), str::to_owned);
        let mut replace = |key: &str, tensor: Option<Tensor>| {
            file.tensors.retain(|tensor| tensor.key != key);
            file.tensors.extend(tensor);
        };
        replace("base_model.conv1.weight", None);
        replace(
            "base_model.bn1.weight",
            Some(floats("base_model.bn1.weight", &[2], 0.0)),
        );
        let bytes = Tensor::new("base_model.bn1.bias", vec![8], Dtype::UInt8, vec![0; 8]);
        replace("base_model.bn1.bias", Some(bytes.unwrap()));
        let negative = (-1i64).to_le_bytes().to_vec();
        let name = "base_model.bn1.num_batches_tracked";
        let counter = Tensor::new(name, vec![], Dtype::Int64, negative);
        replace(name, Some(counter.unwrap()));
        replace("", Some(floats("layer9.weight", &[1], 0.0)));
        let error = map(&vanilla(), &file, &["layer8.*"]).unwrap_err();
        assert_eq!(error.kind, Kind::Data);
        insta::assert_snapshot!(error.message, @r"
        the checkpoint does not fit the model:
          missing    base_model.conv1.weight
          shape      base_model.bn1.weight: expected [8], found [2]
          type       base_model.bn1.bias: expected floating point, found uint8
          value      base_model.bn1.num_batches_tracked: expected a whole number, not negative
          unexpected layer9.weight
          waived     layer8.*: nothing of that name is missing, left over or misshapen
        ");

        let waive = ["base_model.conv1.weight", "base_model.bn1.*", "layer9*"];
        let mapping = map(&vanilla(), &file, &waive).unwrap();
        assert_eq!(
            origin(&mapping, "base_model.bn1.weight"),
            (None, Rule::Waived)
        );
        assert_eq!(mapping.dropped.len(), 4);
        assert!(
            mapping
                .dropped
                .iter()
                .all(|dropped| dropped.why == "waived")
        );
    }

    #[test]
    fn values_that_are_not_finite_are_named_and_counted() {
        let mut file = checkpoint(&vanilla(), str::to_owned);
        let values = [1.0, f64::NAN, f64::INFINITY, 1e300, 0.1, 0.5, 0.5, 0.5];
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bias = Tensor::new("base_model.bn1.bias", vec![8], Dtype::Float64, bytes).unwrap();
        let place = file.tensors.iter_mut().find(|t| t.key == bias.key).unwrap();
        *place = bias;
        let graph = flexible();
        let mapping = map(&graph, &file, &[]).unwrap();
        assert_eq!(
            mapping.load(false).unwrap_err().message,
            "values that are NaN or infinite:\n  base_model.bn1.bias: 3 of 8, 1 of them beyond the range of float32"
        );
        let loaded = mapping.load(true).unwrap();
        let conversion = Conversion {
            tensors: 1,
            values: 8,
            rounded: 1,
        };
        assert_eq!(loaded.conversions["float64"], conversion);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("*", "", true),
            ("new_fc.*", "new_fc.weight", true),
            ("*.bias", "new_fc.bias", true),
            ("*.bias", "new_fc.biases", false),
            ("a*b*c", "a.b.c", true),
            ("a*b*c", "a.c", false),
            ("a*bb*b", "abb", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
