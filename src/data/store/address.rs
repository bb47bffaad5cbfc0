//! Where a pack lies on an object store: `s3://bucket/prefix` and its kin.

use std::path::Path;

use crate::base::{Error, Kind, Result, Shown};

/// By what protocol a store is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    S3,
    Gs,
    Az,
    Https,
    /// Without encryption: only where the settings allow it.
    Http,
}

const SCHEMES: [(&str, Scheme); 5] = [
    ("s3", Scheme::S3),
    ("gs", Scheme::Gs),
    ("az", Scheme::Az),
    ("https", Scheme::Https),
    ("http", Scheme::Http),
];

/// A folder of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub scheme: Scheme,
    /// The bucket, the container, or the machine with its port.
    pub host: String,
    /// Without `/` at its ends; may be empty.
    pub prefix: String,
}

/// Whether a data set's root is meant as an address, whether it is a right one or not. No folder has `://` in its path by
/// chance.
pub fn is_address(root: &Path) -> bool {
    root.to_str()
        .and_then(|root| root.split_once("://"))
        .is_some_and(|(scheme, _)| {
            let legal = |sign: char| sign.is_ascii_alphanumeric() || "+.-".contains(sign);
            !scheme.is_empty() && scheme.chars().all(legal)
        })
}

impl Address {
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str, hint: &str| {
            let message = format!("the address `{}`: {what}", without_secrets(text).shown());
            Error::new(Kind::Usage, message).hint(hint)
        };
        let form = "it looks like this: s3://BUCKET/FOLDER";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("it has no `://`", form))?;
        let named = scheme.to_ascii_lowercase();
        let known = SCHEMES.iter().find(|(name, _)| *name == named);
        let &(_, scheme) = known.ok_or_else(|| {
            let what = format!("`{}://` is not known", scheme.shown());
            wrong(&what, "s3://, gs://, az:// and https:// are, and folders")
        })?;
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            let hint = "credentials are taken from the environment, and never from an address";
            return Err(wrong("it has an `@`", hint));
        }
        if rest.contains(['?', '#']) {
            let hint =
                "the address of a folder is meant; a signature (SAS) is taken from the environment";
            return Err(wrong("it has a `?` or a `#`", hint));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if host.is_empty() || (!prefix.is_empty() && prefix.split('/').any(is_odd)) {
            return Err(wrong("a part of it is empty, `.` or `..`", form));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The address of a file in the folder.
    pub fn of(&self, name: &str) -> String {
        format!("{self}/{name}")
    }
}

/// As it is shown: behind `?` and before `@` secrets may stand.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or(text);
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => text.to_owned(),
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = SCHEMES.iter().find(|(_, scheme)| *scheme == self.scheme);
        let name = named.map_or("", |(name, _)| name);
        write!(f, "{name}://{}", self.host)?;
        match self.prefix.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_folders() {
        for address in ["s3://a", "S3://a/b", "hdfs://x", "file:///x", "a+b://c"] {
            assert!(is_address(Path::new(address)), "{address}");
        }
        for folder in [
            "a", "/a/b", "C:\\data", "s3:/a", "://a", "/a://b", "a b://c",
        ] {
            assert!(!is_address(Path::new(folder)), "{folder}");
        }
    }

    #[test]
    fn an_address_is_written_in_one_way() {
        for (text, expected) in [
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("S3://bucket", "s3://bucket"),
            ("gs://bucket/a b~c", "gs://bucket/a b~c"),
            ("az://container/x", "az://container/x"),
            ("https://host:8443/x", "https://host:8443/x"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), expected);
            assert_eq!(address.of("pack.json"), format!("{expected}/pack.json"));
        }
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong_and_no_secret() {
        for (text, expected) in [
            ("hdfs://a/b", "`hdfs://` is not known"),
            ("file:///a", "`file://` is not known"),
            ("s3://", "empty"),
            ("s3:///a", "empty"),
            ("s3://a//b", "empty"),
            ("s3://a/../b", "`..`"),
            (
                "https://me:SECRET@host/a",
                "credentials are taken from the environment",
            ),
            ("https://host/a?sig=SECRET", "from the environment"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            let said = error.to_string();
            assert!(
                said.contains(expected) && !said.contains("SECRET"),
                "{said}"
            );
        }
    }
}
