//! Files for what is read from folders.

use std::path::{Path, PathBuf};

use ffn::data::Dataset;
use ffn::data::open::OpenOptions;
use ffn::spec::Experiment;

/// A folder of this process.
pub fn folder(name: &str) -> PathBuf {
    let name = format!("ffn-fuzz-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What the lists in a folder say of an experiment's data, if they can be read.
#[allow(dead_code)]
pub fn find(experiment: &Experiment, root: &Path) -> Option<Dataset> {
    let options = OpenOptions {
        root: Some(root.to_owned()),
        cache: None,
        base: root,
        unpinned: true,
        progress: &|_, _, _| {},
    };
    Dataset::find(experiment, &options).ok()
}

/// The pieces of an input between zero bytes, each as a file of one of these names; what is not there is empty.
#[allow(dead_code)]
pub fn write_pieces(folder: &Path, names: &[&str], data: &[u8]) {
    let mut pieces = data.splitn(names.len(), |&byte| byte == 0);
    for name in names {
        std::fs::write(folder.join(name), pieces.next().unwrap_or_default()).unwrap();
    }
}
