//! The experiment files that members start from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::spec;
use crate::spec::examine::{ExaminedFile, Folder};
use crate::spec::overlay::Base;
use crate::spec::syntax::Span;

/// The experiment files of a suite, each read once.
pub struct Bases<'a> {
    folder: Folder<'a>,
    offset: usize,
    read: BTreeMap<String, Result<Base, Broken>>,
    /// Files in which something was found.
    pub examined: Vec<ExaminedFile>,
}

/// Why there is no experiment to start from.
#[derive(Clone)]
pub enum Broken {
    /// The file cannot be read.
    Unreadable(String),
    /// Its mistakes are in the examined file of this index.
    Examined(usize),
}

impl<'a> Bases<'a> {
    /// `offset`: where the places of the files begin.
    pub fn new(folder: Folder<'a>, offset: usize) -> Self {
        Self {
            folder,
            offset,
            read: BTreeMap::new(),
            examined: Vec::new(),
        }
    }

    /// The experiment file that the suite names at `place`.
    pub fn get(&mut self, path: &str, place: &Span) -> Result<&Base, Broken> {
        if !self.read.contains_key(path) {
            let base = self.load(path);
            self.read.insert(path.to_owned(), base);
        }
        match self.read.get(path) {
            Some(Ok(base)) => Ok(base),
            Some(Err(broken)) => {
                if let Broken::Examined(index) = broken
                    && let Some(file) = self.examined.get_mut(*index)
                {
                    file.named.push(place.clone());
                }
                Err(broken.clone())
            }
            None => Err(Broken::Unreadable(format!("cannot read `{path}`"))),
        }
    }

    fn load(&mut self, path: &str) -> Result<Base, Broken> {
        let whole = self.folder.path.join(path);
        let text = (self.folder.read)(&whole).map_err(|error| Broken::Unreadable(error.message))?;
        let (mistakes, warnings) = match spec::read(&text) {
            Ok((_, warnings)) => (Vec::new(), warnings),
            Err(mistakes) => (mistakes, Vec::new()),
        };
        let (is_sound, is_clean) = (mistakes.is_empty(), warnings.is_empty());
        if !is_sound || !is_clean {
            self.examined.push(ExaminedFile {
                path: whole.clone(),
                text: text.clone(),
                mistakes,
                warnings,
                named: Vec::new(),
            });
        }
        if !is_sound {
            return Err(Broken::Examined(self.examined.len() - 1));
        }
        let folder = whole.parent().unwrap_or(Path::new(""));
        Ok(Base::new(path, text, folder, self.offset))
    }
}
