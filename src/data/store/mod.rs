//! Packs on object stores: `s3://`, `gs://`, `az://`, `https://`, where the folder of a pack could stand.
//!
//! The lists and the index come when the data are opened, the tar files one by one as they are needed: each whole, into a folder
//! where it is named by its SHA-256, which is the one that the pack's index has for it. A file that is there was held against its hash
//! when it arrived, and once more by each process that finds it.
//!
//! | file | what it is |
//! |---|---|
//! | `address.rs` | what may stand for a folder |
//! | `route.rs` | the order in which a loader reads, and what a cache drops |
//! | `fetch.rs` | a file whole, tried again and held against its hash |
//! | `cache.rs` | the folder, its bound, and other processes that use it |
//! | `ahead.rs` | what is known of a pack's tar files, and which comes next |
//! | `shelf.rs` | the tar files of one pack: fetched ahead, handed out |
//! | `remote.rs` | the stores themselves; of the cargo feature `object-store` alone |
//!
//! Nothing of it is random or timed: what a loader reads are the bytes of the local pack, whenever they arrive.

mod address;
mod ahead;
mod cache;
mod fetch;
#[cfg(feature = "object-store")]
mod remote;
mod route;
mod shelf;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::base::{Error, Kind, Result, Shown, files};

pub use address::{Address, Scheme, is_address};
pub use cache::Cache;
pub use fetch::{Expected, Failure, Fetch, Trouble, fetch_into};
pub use route::{NONE, Route};
pub use shelf::{Following, Pace, Shard, Shelf, Stored};

/// The feature that this program must be built with.
pub const FEATURE: &str = "object-store";

/// `store: (…)` of the user's configuration file: how packs on object stores are read on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of the cache; empty: `store` in the user's cache folder.
    pub cache: PathBuf,
    /// The most that the cache holds, in MiB.
    pub cache_mib: u64,
    /// For how many seconds it is tried again while nothing more of a file comes.
    pub patience_seconds: u64,
    /// Whether `http://` may be read, where everybody on the way can change what is fetched.
    pub allow_http: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache: PathBuf::new(),
            cache_mib: 64 << 10,
            patience_seconds: 120,
            allow_http: false,
        }
    }
}

impl Settings {
    pub fn folder(&self) -> Result<PathBuf> {
        match self.cache.as_os_str().is_empty() {
            true => Ok(files::cache_folder()?.join("store")),
            false => Ok(self.cache.clone()),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.cache_mib.saturating_mul(1 << 20)
    }

    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds)
    }
}

/// The store at an address. Nothing is fetched yet.
pub fn connect(address: &Address, settings: &Settings) -> Result<Box<dyn Fetch>> {
    if address.scheme == Scheme::Http && !settings.allow_http {
        let message = format!("`{}` is not encrypted", address.to_string().shown());
        return Err(Error::new(Kind::Usage, message).hint(
            "https:// is; on a machine or a network of your own, `store: (allow_http: true)` in the configuration file allows http://",
        ));
    }
    #[cfg(feature = "object-store")]
    return remote::connect(address, settings);
    #[cfg(not(feature = "object-store"))]
    Err(left_out(address))
}

/// What a program says that was built without the feature.
#[cfg(not(feature = "object-store"))]
fn left_out(address: &Address) -> Error {
    let message = format!(
        "`{}`: this program was built without object stores",
        address.to_string().shown()
    );
    Error::new(Kind::Usage, message).hint(format!(
        "build it with them: `cargo build --release --features {FEATURE}`; or copy the pack into a folder"
    ))
}

/// The address of a root, where it is one.
pub fn address(root: &Path) -> Option<Result<Address>> {
    is_address(root).then(|| Address::parse(&root.to_string_lossy()))
}
