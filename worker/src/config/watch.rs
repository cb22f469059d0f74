//! Folders to watch.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use docent_pipelines::Owner;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::assets::lexical;
use crate::watch::WatchedFolder;

/// Seconds between two sweeps, if nothing is said.
pub const SWEEP_SECONDS: u64 = 900;
/// Seconds until a file is taken, if nothing is said.
pub const SETTLE_SECONDS: u64 = 5;
/// More folders than anybody names by hand.
const MOST: usize = 1000;

/// An entry of `watch`: a section, or a path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEntry {
    /// The folder. Absolute.
    pub path: PathBuf,
    /// Whose its pictures are.
    pub owner: Option<Owner>,
    /// Do without events, and sweep so often.
    pub poll_seconds: Option<u64>,
    /// Sweep so often.
    pub sweep_seconds: u64,
    /// Take a file that rested for so long.
    pub settle_seconds: u64,
}

impl WatchEntry {
    /// A folder, watched as if nothing else was said.
    pub fn of(path: PathBuf) -> Self {
        Self {
            path,
            owner: None,
            poll_seconds: None,
            sweep_seconds: SWEEP_SECONDS,
            settle_seconds: SETTLE_SECONDS,
        }
    }

    /// The folder as it is watched.
    pub fn folder(&self) -> WatchedFolder {
        WatchedFolder {
            path: lexical(&self.path),
            owner: self.owner.clone(),
            poll: self.poll_seconds.map(Duration::from_secs),
            sweep: Duration::from_secs(self.sweep_seconds),
            settle: Duration::from_secs(self.settle_seconds),
        }
    }
}

impl<'de> Deserialize<'de> for WatchEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            path: PathBuf,
            #[serde(default, deserialize_with = "owner")]
            owner: Option<Owner>,
            poll_seconds: Option<u64>,
            #[serde(default = "sweep_seconds")]
            sweep_seconds: u64,
            #[serde(default = "settle_seconds")]
            settle_seconds: u64,
        }
        fn owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Owner>, D::Error> {
            let name = String::deserialize(deserializer)?;
            let refused = |problem| D::Error::custom(format_args!("a name; this one {problem}"));
            Owner::try_from(name).map(Some).map_err(refused)
        }
        fn sweep_seconds() -> u64 {
            SWEEP_SECONDS
        }
        fn settle_seconds() -> u64 {
            SETTLE_SECONDS
        }
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = WatchEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section with the option path, as in [[watch]]")
            }

            fn visit_str<E>(self, path: &str) -> Result<WatchEntry, E> {
                Ok(WatchEntry::of(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WatchEntry, A::Error> {
                let section = Section::deserialize(MapAccessDeserializer::new(map))?;
                let Section { path, owner, poll_seconds, sweep_seconds, settle_seconds } = section;
                Ok(WatchEntry { path, owner, poll_seconds, sweep_seconds, settle_seconds })
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// The first thing that is wrong with `entries`: which option, what it is, and what it must be.
pub fn problem(entries: &[WatchEntry]) -> Option<(String, String, String)> {
    if entries.len() > MOST {
        return Some(("watch".to_owned(), entries.len().to_string(), format!("at most {MOST} folders")));
    }
    entries.iter().enumerate().find_map(|(index, entry)| {
        let option = |name: &str| format!("watch.{index}.{name}");
        let numbers = [
            ("poll_seconds", entry.poll_seconds.unwrap_or(1), 86_400),
            ("sweep_seconds", entry.sweep_seconds, 604_800),
            ("settle_seconds", entry.settle_seconds, 3600),
        ];
        let wrong = numbers.into_iter().find(|(_, value, most)| *value == 0 || value > most);
        if let Some((name, value, most)) = wrong {
            return Some((option(name), value.to_string(), format!("from 1 to {most}")));
        }
        let shown = |path: &Path| format!("\"{}\"", path.display());
        let path = lexical(&entry.path);
        if entry.path.as_os_str().is_empty() {
            return Some((option("path"), shown(&entry.path), "a folder".to_owned()));
        }
        let others = entries.iter().enumerate().filter(|(other, _)| *other != index);
        let above = others.map(|(_, other)| lexical(&other.path)).find(|other| path.starts_with(other))?;
        Some((
            option("path"),
            shown(&path),
            format!("outside of {}, which is watched as well", shown(&above)),
        ))
    })
}
