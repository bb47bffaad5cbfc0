//! What the loader does with a video, part by part: `cargo bench --bench loader [-- FILTER]`.
//!
//! No data are needed: a clip of the miniature is rendered as high as the videos of Something-Something V2. Each of its frames
//! is coded by itself; frames that rest on others are those of a small fixture. `ffn bench data` says what real videos take.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ffn::data::normalize::normalize_into;
use ffn::data::resize::{Region, resize};
use ffn::data::sampling::Draw;
use ffn::data::video::{Source, Video};
use ffn::data::{clip, miniature};
use ffn::spec::{self, Experiment, Miniature};

const SIDE: usize = 240;
const FRAMES: usize = 48;
/// Height and width of what the network sees.
const SIZE: usize = 224;

fn experiment() -> Experiment {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/ffn_tsm_sthv2.ron");
    spec::load(path.as_ref())
        .expect("it is one of ours")
        .experiment
}

fn rendered(folder: &std::path::Path) -> Source {
    let clips = Miniature {
        pins: String::new(),
        train: 1,
        validation: 0,
        size: SIDE,
        frames: FRAMES,
    };
    miniature::render(folder, &clips, &|_, _| ()).expect("the folder is new");
    Source::File(folder.join("1.webm"))
}

fn open(source: &Source) -> Video {
    Video::open(source).expect("it is a video")
}

fn decoding(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/videos/altref.webm");
    for (name, source) in [
        ("frames coded by themselves", rendered(folder.path())),
        ("frames that rest on others", Source::File(fixture.into())),
    ] {
        let count = open(&source).frame_count();
        let all: Vec<usize> = (0..count).collect();
        let mut group = criterion.benchmark_group(name);
        group.bench_function("open", |bencher| bencher.iter(|| open(&source)));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| open(&source).frames(&all).expect("it has so many frames"))
        });
    }
}

fn clips(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = rendered(folder.path());
    let experiment = experiment();
    let (train, branches) = (&experiment.train, experiment.method.frames());
    let draw = Draw {
        seed: 1,
        epoch: 0,
        sample: 0,
    };
    let mut group = criterion.benchmark_group("a clip");
    group.throughput(Throughput::Elements(1));
    group.bench_function("of 4, 8 and 16 frames", |bencher| {
        bencher.iter(|| clip::train(&source, train, branches, draw).expect("it is a video"))
    });
}

fn images(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let video = open(&rendered(folder.path()));
    let image = video.frames(&[0]).expect("it has frames").remove(0);
    let mut group = criterion.benchmark_group("an image");
    group.throughput(Throughput::Bytes((SIZE * SIZE * 3) as u64));
    for (name, from) in [("shrunk", SIDE), ("enlarged", 180)] {
        let (from, to) = (Region::whole(from, from), Region::whole(SIZE, SIZE));
        group.bench_function(format!("{name} to {SIZE}x{SIZE}"), |bencher| {
            bencher.iter(|| resize(&image, from, (SIZE, SIZE), to))
        });
    }
    let normalize = experiment().train.clips.normalize;
    let bytes = &image.rgb[..SIZE * SIZE * 3];
    let mut values = vec![0.0; bytes.len()];
    group.bench_function("normalised", |bencher| {
        bencher.iter(|| normalize_into(bytes, &normalize, &mut values))
    });
}

criterion_group!(loader, decoding, clips, images);
criterion_main!(loader);
