//! The stores themselves, through the crate `object_store`. Of the cargo feature alone, and the only file that knows of it, of tokio
//! and of TLS.
//!
//! Credentials, endpoints and the like come from the environment, by the names that `object_store` has for them. The runtime does
//! nothing but move bytes from connections into channels: who fetches is a thread that reads from one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Sender, channel};

use super::{Address, Failure, Fetch, Scheme, Settings};
use crate::base::{Error, Kind, Result, Shown};

/// Pieces of a file that wait for the thread that takes them.
const PIECES: usize = 16;
/// For how long credentials are looked for on a machine whose environment has none.
const CREDENTIALS: Duration = Duration::from_secs(10);

struct Remote {
    address: Address,
    store: Arc<dyn ObjectStore>,
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
}

pub fn connect(address: &Address, settings: &Settings) -> Result<Box<dyn Fetch>> {
    // An error is that one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("network")
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        let message = format!("cannot start what speaks to `{address}`: {error}");
        Error::new(Kind::Device, message)
    })?;
    let store = store(address, settings)
        .map_err(|error| explain(address.scheme, &address.to_string(), &error))?;
    Ok(Box::new(Remote {
        address: address.clone(),
        store,
        runtime: Some(runtime),
    }))
}

/// A store as the environment describes it, with our patience.
fn store(
    address: &Address,
    settings: &Settings,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let (retry, host) = (retry(address.scheme, settings), address.host.as_str());
    let times = times(settings);
    Ok(match address.scheme {
        Scheme::S3 => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(host);
            let timed = times.into_iter().fold(builder, |builder, (key, time)| {
                builder.with_config(AmazonS3ConfigKey::Client(key), time)
            });
            Arc::new(timed.with_retry(retry).build()?)
        }
        Scheme::Gs => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(host);
            let timed = times.into_iter().fold(builder, |builder, (key, time)| {
                builder.with_config(GoogleConfigKey::Client(key), time)
            });
            Arc::new(timed.with_retry(retry).build()?)
        }
        Scheme::Az => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(host);
            let timed = times.into_iter().fold(builder, |builder, (key, time)| {
                builder.with_config(AzureConfigKey::Client(key), time)
            });
            Arc::new(timed.with_retry(retry).build()?)
        }
        // `super::connect` has looked whether http:// is allowed.
        Scheme::Https | Scheme::Http => {
            let is_open = (address.scheme == Scheme::Http).to_string();
            let builder = HttpBuilder::new()
                .with_url(address.to_string())
                .with_config(ClientConfigKey::AllowHttp, is_open);
            let timed = times.into_iter().fold(builder, |builder, (key, time)| {
                builder.with_config(key, time)
            });
            Arc::new(timed.with_retry(retry).build()?)
        }
    })
}

/// How long is waited for what. A large file may take long: what counts is whether anything comes.
fn times(settings: &Settings) -> [(ClientConfigKey, String); 3] {
    let silence = (settings.patience_seconds / 4).clamp(1, 30);
    [
        (ClientConfigKey::Timeout, "7 days".to_owned()),
        (ClientConfigKey::ReadTimeout, format!("{silence} seconds")),
        (ClientConfigKey::ConnectTimeout, "5 seconds".to_owned()),
    ]
}

fn retry(scheme: Scheme, settings: &Settings) -> RetryConfig {
    let is_given = has_credentials(scheme);
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        // Time is what bounds it.
        max_retries: 1000,
        retry_timeout: match is_given {
            true => settings.patience(),
            false => settings.patience().min(CREDENTIALS),
        },
    }
}

/// Whether the environment says who we are. Where not, the machine's own service for that is asked, and most machines have none.
fn has_credentials(scheme: Scheme) -> bool {
    let names: &[&str] = match scheme {
        Scheme::S3 => &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SKIP_SIGNATURE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ],
        Scheme::Gs => &[
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SKIP_SIGNATURE",
        ],
        Scheme::Az => &[
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN",
            "AZURE_CLIENT_SECRET",
            "AZURE_STORAGE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_SKIP_SIGNATURE",
        ],
        Scheme::Https | Scheme::Http => return true,
    };
    names.iter().any(|name| std::env::var_os(name).is_some())
}

/// How long nothing comes before it is asked whether to go on.
const ASKED_EVERY: Duration = Duration::from_millis(100);

impl Fetch for Remote {
    fn fetch(&self, name: &str, piece: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<(), Failure> {
        let scheme = self.address.scheme;
        let wrong = |error: object_store::path::Error| {
            let message = format!("`{}`: {error}", Fetch::address(self, name).shown());
            Failure::Lasting(Error::new(Kind::Usage, message))
        };
        let prefix = match scheme {
            Scheme::Https | Scheme::Http => "",
            _ => self.address.prefix.as_str(),
        };
        let key = format!("{prefix}/{name}");
        let path = Path::parse(key.trim_start_matches('/')).map_err(wrong)?;
        let Some(runtime) = &self.runtime else {
            let error = Error::new(Kind::Stopped, "the store is closed");
            return Err(Failure::Lasting(error));
        };
        let (sender, mut pieces) = channel(PIECES);
        runtime.spawn(send(Arc::clone(&self.store), path, sender));
        loop {
            let next = async { tokio::time::timeout(ASKED_EVERY, pieces.recv()).await };
            let got = match runtime.block_on(next) {
                Ok(None) => break,
                Ok(Some(got)) => got,
                // While nothing comes, too, it is asked whether anybody wants it still.
                Err(_) => {
                    piece(&[]).map_err(Failure::Lasting)?;
                    continue;
                }
            };
            match got {
                Ok(Got::Bytes(bytes)) => piece(&bytes).map_err(Failure::Lasting)?,
                Ok(Got::End) => return Ok(()),
                Err((error, has_begun)) => {
                    let told = explain(scheme, &Fetch::address(self, name), &error);
                    return Err(match has_begun || is_passing(&error) {
                        true => Failure::Passing(told),
                        false => Failure::Lasting(told),
                    });
                }
            }
        }
        let message = format!("`{}` ended early", Fetch::address(self, name).shown());
        Err(Failure::Passing(Error::new(Kind::Io, message)))
    }

    fn address(&self, name: &str) -> String {
        self.address.of(name)
    }
}

impl Drop for Remote {
    /// Without waiting for what has no end, such as a name that is looked up.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What comes through the channel.
enum Got {
    Bytes(bytes::Bytes),
    End,
}

/// An error, and whether something had come before it.
type Broken = (object_store::Error, bool);

/// Sends a file piece by piece, until nobody takes it any more.
async fn send(store: Arc<dyn ObjectStore>, path: Path, sender: Sender<Result<Got, Broken>>) {
    let mut stream = match store.get(&path).await {
        Ok(found) => found.into_stream(),
        Err(error) => {
            let _ = sender.send(Err((error, false))).await;
            return;
        }
    };
    while let Some(piece) = stream.next().await {
        let got = piece.map(Got::Bytes).map_err(|error| (error, true));
        let is_over = got.is_err();
        if sender.send(got).await.is_err() || is_over {
            return;
        }
    }
    let _ = sender.send(Ok(Got::End)).await;
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// The error and what it comes from.
fn causes(error: &object_store::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(Some(error as Cause<'_>), |error| error.source())
}

/// Whether another try may succeed: the store is overloaded, or did not answer.
fn is_passing(error: &object_store::Error) -> bool {
    if !matches!(error, object_store::Error::Generic { .. }) || is_about_credentials(error) {
        return false;
    }
    let passes = |cause: Cause<'_>| {
        let kind = cause.downcast_ref::<HttpError>().map(HttpError::kind);
        matches!(
            kind,
            Some(
                HttpErrorKind::Connect
                    | HttpErrorKind::Request
                    | HttpErrorKind::Timeout
                    | HttpErrorKind::Interrupted
            )
        )
    };
    let text = deepest(error);
    let is_busy = ["code: 5", "code: 429", "code: 408"]
        .iter()
        .any(|code| text.contains(code));
    is_busy || causes(error).any(passes)
}

/// Whether what failed is the question who we are, which a service of the machine's own answers.
fn is_about_credentials(error: &object_store::Error) -> bool {
    const SIGNS: [&str; 6] = [
        "169.254.",
        "/latest/api/token",
        "/latest/meta-data",
        "metadata.google.internal",
        "computeMetadata",
        "metadata/identity",
    ];
    causes(error).any(|cause| {
        let text = cause.to_string();
        SIGNS.iter().any(|sign| text.contains(sign))
    })
}

/// What lies at the bottom, on one line; of a page that a server sends with a status, the code that S3 and its kin have in it.
fn deepest(error: &object_store::Error) -> String {
    const LONGEST: usize = 300;
    let text = causes(error)
        .last()
        .map_or_else(String::new, |cause| cause.to_string());
    let (line, page) = text.split_once(": <").unwrap_or((&text, ""));
    let code = page
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or_else(String::new, |(code, _)| format!(", {code}"));
    let line: String = line.chars().take(LONGEST).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    format!("{}{code}", words.join(" "))
}

/// For the person who can mend it.
fn explain(scheme: Scheme, address: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Cause;
    let what = deepest(error);
    let (kind, text, hint) = match error {
        _ if is_about_credentials(error) => (
            Kind::Usage,
            "no credentials: the environment has none, and neither has the machine",
            credentials(scheme),
        ),
        Cause::NotFound { .. } => (
            Kind::Data,
            "it is not there",
            "an address leads to the folder of a pack: `ffn data pack` makes one, which is uploaded whole, `pack.json` as the last of it",
        ),
        Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => {
            (Kind::Usage, "it is refused", credentials(scheme))
        }
        _ => (Kind::Io, "it cannot be fetched", service(scheme)),
    };
    Error::new(
        kind,
        format!("`{}`: {text}: {}", address.shown(), what.shown()),
    )
    .hint(hint)
}

fn credentials(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN where they are for a time; AWS_SKIP_SIGNATURE=true for a public bucket; AWS_REGION and AWS_ENDPOINT say where it is. A store that hides what it has refuses what is not there, too"
        }
        Scheme::Gs => {
            "set GOOGLE_SERVICE_ACCOUNT to the file of a service account's key, or GOOGLE_SKIP_SIGNATURE=true for a public bucket"
        }
        Scheme::Az => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY; AZURE_SKIP_SIGNATURE=true for a \
             public container"
        }
        Scheme::Https | Scheme::Http => "what is fetched over https:// must be there for everybody",
    }
}

/// What may be wrong where there is no answer, or none that makes sense.
fn service(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "look at the network, at AWS_REGION, and, of another service than Amazon's, at AWS_ENDPOINT (with AWS_ALLOW_HTTP=true for http://)"
        }
        Scheme::Gs => "look at the network",
        Scheme::Az => "look at the network and at AZURE_STORAGE_ACCOUNT_NAME",
        Scheme::Https | Scheme::Http => "look at the network and at the address",
    }
}
