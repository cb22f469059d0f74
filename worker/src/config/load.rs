//! Defaults, file, environment and flags become one [`Config`].

mod words;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use self::words::{example, scheme, shown, value_error};
use super::{Config, Sources, watch, webhooks};

/// Every option with its default and the reason for it.
pub const DEFAULTS: &str = include_str!("../../worker.default.toml");

/// What flags say. Flags go before everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The configuration file to read in place of the usual one.
    pub file: Option<PathBuf>,
    /// `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `models_dir`.
    pub models_dir: Option<PathBuf>,
    /// `http.listen`.
    pub listen: Option<String>,
    /// `backends.queue`.
    pub queue: Option<String>,
    /// `backends.store`.
    pub store: Option<String>,
    /// `backends.vectors`.
    pub vectors: Option<String>,
    /// `worker.listen`.
    pub probe_listen: Option<String>,
    /// `log.level`.
    pub log_level: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("read the configuration file {}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        reason: String,
    },
    /// There is no such option.
    #[error("{origin}: there is no option '{key}'")]
    UnknownOption {
        /// The file or variable.
        origin: String,
        /// The option.
        key: String,
        /// The options there are in its section.
        known: Vec<String>,
    },
    /// An option has a value that it cannot have.
    #[error("{origin}: {key} is {found}, but must be {expected}")]
    Value {
        /// The file, variable or flag.
        origin: String,
        /// The option.
        key: String,
        /// The value.
        found: String,
        /// What it could be.
        expected: String,
    },
    /// A variable is no text.
    #[error("variable {name}: its value is not valid UTF-8")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// Nothing says where the data lies.
    #[error("find the data directory: neither XDG_DATA_HOME nor HOME is set")]
    NoHome,
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { .. } => "give a readable file to --config, or leave the flag out".to_owned(),
            Self::Syntax { .. } => "a text is written in quotes, as in data_dir = \"/archive\"".to_owned(),
            Self::UnknownOption { known, .. } => format!("known are {}", known.join(", ")),
            Self::Value { key, .. } => match example(key) {
                Some(line) => format!("the default is {line}; worker.default.toml explains it"),
                None => "worker.default.toml explains every option".to_owned(),
            },
            Self::NotUnicode { .. } => "give the value by a flag or in the configuration file".to_owned(),
            Self::NoHome => "say where with --data-dir DIR".to_owned(),
        }
    }
}

/// One source of options.
struct Layer {
    origin: String,
    options: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.options.clone()))
    }
}

/// Options whose value is a path.
const PATHS: [&[&str]; 5] =
    [&["data_dir"], &["models_dir"], &["onnxruntime"], &["device", "engine_cache"], &["text", "tessdata"]];
/// Options that are lists of paths.
const LISTS: [&[&str]; 2] = [&["assets", "roots"], &["watch"]];
/// Variables that begin like options and are none.
const NO_OPTIONS: [&str; 1] = ["DOCENT_CONFIG"];
const PREFIX: &str = "DOCENT_";
/// The variable that everybody expects …
const SHORT_LOG: &str = "DOCENT_LOG";
/// … and the one that it stands for.
const LOG: &str = "DOCENT_LOG_LEVEL";

impl Config {
    /// The configuration: defaults, then a file, then the environment, then `overrides`, each going before the last.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::load_from(overrides, &std::env::vars_os().collect())
    }

    pub(super) fn load_from(
        overrides: &Overrides,
        environment: &BTreeMap<OsString, OsString>,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| environment.get(&OsString::from(name)).filter(|value| !value.is_empty());
        let home = variable("HOME").map(PathBuf::from);
        let defaults: Dict = Toml::from_str(DEFAULTS).expect("the compiled-in defaults are tested");
        let mut sources = Sources::default();
        let mut layers = Vec::new();
        let named = overrides.file.clone().or_else(|| variable("DOCENT_CONFIG").map(PathBuf::from));
        let usual = xdg_folder(variable("XDG_CONFIG_HOME"), home.as_deref(), ".config")
            .map(|folder| folder.join("docent/config.toml"));
        match (named, usual) {
            (Some(file), _) => layers.push(file_layer(&file, home.as_deref())?),
            (None, Some(file)) if file.exists() => layers.push(file_layer(&file, home.as_deref())?),
            (None, absent) => sources.absent = absent,
        }
        for layer in &layers {
            refuse_unknown(layer, &defaults)?;
        }
        layers.extend(variable_layers(environment, &defaults, home.as_deref(), &mut sources)?);
        layers.extend(flag_layer(overrides));
        sources.read = layers.iter().map(|layer| layer.origin.clone()).collect();

        let base = Layer { origin: "worker.default.toml".to_owned(), options: defaults };
        let figment = layers.into_iter().fold(Figment::from(base), |figment, layer| figment.merge(layer));
        let mut config: Self = figment.extract().map_err(value_error)?;
        let taken = webhooks::take_secrets(&mut config.webhook, environment);
        sources.unknown_variables.retain(|name| !taken.contains(name));
        if let Some((key, expected)) = webhooks::out_of_range(&config.webhook) {
            let origin = figment.find_metadata("webhook").map_or_else(String::new, |m| m.name.to_string());
            let (found, expected) = ("something else".to_owned(), expected.to_owned());
            return Err(ConfigError::Value { origin, key, found, expected });
        }
        if let Some((key, expected)) = config.out_of_range() {
            let origin = figment.find_metadata(key).map_or_else(String::new, |m| m.name.to_string());
            // An address may contain a password; its beginning is enough to recognize it.
            let found = match key.starts_with("backends.") {
                true => figment.find_value(key).map_or_else(|_| String::new(), |value| scheme(&value)),
                false => figment.find_value(key).map_or_else(|_| String::new(), |value| shown(&value)),
            };
            return Err(ConfigError::Value {
                origin,
                key: key.to_owned(),
                found,
                expected: expected.to_owned(),
            });
        }
        config.sources = sources;

        // Flags may hold paths that are no text, which the layers could not carry.
        let given = |flag: &Option<PathBuf>, option: PathBuf| match flag {
            Some(path) => Some(path.clone()),
            None => Some(option).filter(|path| !path.as_os_str().is_empty()),
        };
        let data_dir = match given(&overrides.data_dir, config.data_dir) {
            Some(folder) => folder,
            None => xdg_folder(variable("XDG_DATA_HOME"), home.as_deref(), ".local/share")
                .ok_or(ConfigError::NoHome)?
                .join("docent"),
        };
        config.data_dir = absolute(data_dir);
        config.assets.roots = config
            .assets
            .roots
            .iter()
            .map(|root| absolute(expand_home(&root.to_string_lossy(), home.as_deref())))
            .collect();
        for entry in &mut config.watch {
            entry.path = expand_home(&entry.path.to_string_lossy(), home.as_deref());
        }
        if let Some((key, found, expected)) = watch::problem(&config.watch) {
            let origin = figment.find_metadata("watch").map_or_else(String::new, |m| m.name.to_string());
            return Err(ConfigError::Value { origin, key, found, expected });
        }
        if !config.assets.uploads.as_os_str().is_empty() {
            let uploads = config.assets.uploads.to_string_lossy().into_owned();
            config.assets.uploads = absolute(expand_home(&uploads, home.as_deref()));
        }
        let cache =
            || Some(xdg_folder(variable("XDG_CACHE_HOME"), home.as_deref(), ".cache")?.join("docent"));
        let engine_cache = &mut config.device.engine_cache;
        *engine_cache = engine_cache.take().or_else(|| Some(cache()?.join("engines")));
        config.models_dir =
            absolute(given(&overrides.models_dir, config.models_dir).unwrap_or_else(find_models));
        (config.reviewer, config.sources.reviewer) = match std::mem::take(&mut config.reviewer) {
            named if !named.is_empty() => (named, "the option `reviewer`"),
            _ => match variable("USER") {
                Some(user) => (user.to_string_lossy().into_owned(), "$USER"),
                None => own_name(),
            },
        };
        Ok(config)
    }
}

/// The name of the user that runs this process, and where it comes from. A container's user may have none.
fn own_name() -> (String, &'static str) {
    let id = uzers::get_current_uid();
    match uzers::get_user_by_uid(id) {
        Some(user) => (user.name().to_string_lossy().into_owned(), "the system's list of users"),
        None => (format!("user {id}"), "the user's number, which has no name"),
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// An XDG folder; a relative one is to be ignored, says the specification.
fn xdg_folder(variable: Option<&OsString>, home: Option<&Path>, below_home: &str) -> Option<PathBuf> {
    variable.map(PathBuf::from).filter(|path| path.is_absolute()).or_else(|| Some(home?.join(below_home)))
}

/// The first folder with a manifest. The working folder comes last: somebody else may have written what lies there.
fn find_models() -> PathBuf {
    let installed = std::env::current_exe().ok().and_then(|program| {
        Some(program.canonicalize().ok()?.parent()?.parent()?.join("share/docent/models"))
    });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|folder| folder.join("models"));
    let candidates: Vec<PathBuf> =
        installed.into_iter().chain(source).chain([PathBuf::from("models")]).collect();
    let found = candidates.iter().find(|folder| folder.join("manifest.toml").is_file());
    found.or(candidates.first()).cloned().unwrap_or_default()
}

fn file_layer(file: &Path, home: Option<&Path>) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::File { path: file.to_path_buf(), source })?;
    let mut options: Dict = Toml::from_str(&text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        let line = before.lines().count().max(1);
        ConfigError::Syntax {
            path: file.to_path_buf(),
            reason: format!("line {line}: {}", error.message().replace('\n', ", ")),
        }
    })?;
    let file = absolute(file.to_path_buf());
    let folder = file.parent().unwrap_or(Path::new("/"));
    let place = |text: &str| folder.join(expand_home(text, home)).to_string_lossy().into_owned();
    for path in PATHS {
        if let Some(value) = get_mut(&mut options, path).filter(|value| value.as_str() != Some("")) {
            put_in_place(value, &place);
        }
    }
    if let Some(Value::Array(_, webhooks)) = options.get_mut("webhook") {
        for webhook in webhooks {
            if let Value::Dict(_, webhook) = webhook
                && let Some(Value::String(_, text)) = webhook.get_mut("secret_file")
            {
                *text = folder.join(expand_home(text, home)).to_string_lossy().into_owned();
            }
        }
    }
    for path in LISTS {
        if let Some(value) = get_mut(&mut options, path) {
            put_in_place(value, &place);
        }
    }
    Ok(Layer { origin: file.display().to_string(), options })
}

/// A path, paths in a list, or those of sections in a list.
fn put_in_place(value: &mut Value, place: &impl Fn(&str) -> String) {
    match value {
        Value::String(_, text) => *text = place(text),
        Value::Array(_, items) => items.iter_mut().for_each(|item| put_in_place(item, place)),
        Value::Dict(_, section) => {
            if let Some(path) = section.get_mut("path").filter(|path| path.as_str() != Some("")) {
                put_in_place(path, place);
            }
        }
        _ => {}
    }
}

fn get_mut<'a>(options: &'a mut Dict, path: &[&str]) -> Option<&'a mut Value> {
    let (name, rest) = path.split_first()?;
    match (options.get_mut(*name)?, rest) {
        (value, []) => Some(value),
        (Value::Dict(_, section), rest) => get_mut(section, rest),
        _ => None,
    }
}

fn expand_home(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

fn refuse_unknown(layer: &Layer, defaults: &Dict) -> Result<(), ConfigError> {
    let unknown = |key: String, section: &Dict| ConfigError::UnknownOption {
        origin: layer.origin.clone(),
        key,
        known: section.keys().cloned().collect(),
    };
    for (name, value) in &layer.options {
        match (value, defaults.get(name)) {
            (_, None) => return Err(unknown(name.clone(), defaults)),
            (Value::Dict(_, section), Some(Value::Dict(_, known))) => {
                if let Some(option) = section.keys().find(|option| !known.contains_key(*option)) {
                    return Err(unknown(format!("{name}.{option}"), known));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// One layer for each variable that names an option.
fn variable_layers(
    environment: &BTreeMap<OsString, OsString>,
    defaults: &Dict,
    home: Option<&Path>,
    sources: &mut Sources,
) -> Result<Vec<Layer>, ConfigError> {
    let options: BTreeMap<String, (Vec<&str>, &Value)> = defaults
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Dict(_, section) => {
                section.iter().map(|(option, value)| (vec![name.as_str(), option.as_str()], value)).collect()
            }
            value => vec![(vec![name.as_str()], value)],
        })
        .map(|(path, default)| (format!("{PREFIX}{}", path.join("_").to_uppercase()), (path, default)))
        .collect();
    let mut layers = Vec::new();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        // Two underscores set the section off from the option for those who are used to that.
        let plain = if name == SHORT_LOG { LOG.to_owned() } else { name.replace("__", "_") };
        let Some((path, default)) = options.get(&plain) else {
            if !NO_OPTIONS.contains(&name) {
                sources.unknown_variables.push(name.to_owned());
            }
            continue;
        };
        let text = text.to_str().ok_or_else(|| ConfigError::NotUnicode { name: name.to_owned() })?;
        let value = match PATHS.contains(&path.as_slice()) {
            true => Value::from(expand_home(text, home).to_string_lossy().into_owned()),
            false => parse(text, default),
        };
        layers.push(Layer { origin: format!("variable {name}"), options: nest(path, value) });
    }
    Ok(layers)
}

fn flag_layer(overrides: &Overrides) -> Vec<Layer> {
    let flags = [
        ("--listen", ["http", "listen"], &overrides.listen),
        ("--listen", ["worker", "listen"], &overrides.probe_listen),
        ("--queue", ["backends", "queue"], &overrides.queue),
        ("--store", ["backends", "store"], &overrides.store),
        ("--vectors", ["backends", "vectors"], &overrides.vectors),
        ("--verbose", ["log", "level"], &overrides.log_level),
    ];
    let layer = |(flag, path, value): (&str, [&str; 2], &Option<String>)| {
        let value = Value::from(value.clone()?);
        Some(Layer { origin: flag.to_owned(), options: nest(&path, value) })
    };
    flags.into_iter().filter_map(layer).collect()
}

/// A variable's text as a value of the default's type. What does not parse stays a text, which is then refused with
/// its origin.
fn parse(text: &str, default: &Value) -> Value {
    let trimmed = text.trim();
    match default {
        Value::Num(..) => match (trimmed.parse::<i64>(), trimmed.parse::<f64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from(text),
        },
        Value::Bool(..) => trimmed.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        Value::Array(_, defaults) => {
            let items = trimmed.split(',').map(str::trim).filter(|item| !item.is_empty());
            let item =
                |text| defaults.first().map_or_else(|| Value::from(text), |default| parse(text, default));
            Value::from(items.map(item).collect::<Vec<_>>())
        }
        _ => Value::from(text),
    }
}

fn nest(path: &[&str], value: Value) -> Dict {
    match path {
        [] => Dict::new(),
        [name] => Dict::from([((*name).to_owned(), value)]),
        [name, rest @ ..] => Dict::from([((*name).to_owned(), Value::from(nest(rest, value)))]),
    }
}

#[cfg(test)]
mod tests;
