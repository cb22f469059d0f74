//! The catalog of known models: what they are, where their files lie, what they expect.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, InputSpec};

/// Which model gave an answer: `id@version`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    id: String,
    version: String,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

impl From<ModelRef> for String {
    fn from(model: ModelRef) -> Self {
        model.to_string()
    }
}

impl TryFrom<String> for ModelRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.rsplit_once('@') {
            Some((id, version)) if !id.is_empty() && !version.is_empty() => Ok(Self::new(id, version)),
            _ => Err(format!("'{text}' is not a model reference of the form id@version")),
        }
    }
}

impl ModelRef {
    /// Names a model.
    pub fn new(id: impl Into<String>, version: impl Into<String>) -> Self {
        Self { id: id.into(), version: version.into() }
    }

    /// The model's stable id, for instance `efficientnet-lite0`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Changes whenever answers may change.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Class probabilities for the whole picture.
    Tagging,
    /// Boxes of things.
    ObjectDetection,
    /// Boxes of faces.
    FaceDetection,
    /// 68 points of a face.
    FaceLandmarks,
    /// A vector for a face.
    FaceEmbedding,
    /// The expression of a face.
    Emotion,
    /// Boxes of lines of text.
    TextDetection,
    /// What a line of text says.
    TextRecognition,
    /// A vector for a picture, and visual tokens for the captioner.
    ImageEmbedding,
    /// A vector for words, in the same space.
    TextEmbedding,
    /// A sentence from visual tokens.
    Captioning,
}

/// The manifest and the folder its files lie in.
#[derive(Debug, Clone)]
pub struct Pack {
    folder: PathBuf,
    models: Vec<ModelEntry>,
}

/// One known model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Stable id.
    pub id: String,
    /// Changes whenever answers may change.
    pub version: String,
    /// What it does.
    pub task: Task,
    /// Which code drives it.
    pub architecture: String,
    /// Its files by role.
    pub files: BTreeMap<String, FileEntry>,
    /// Where the weights come from.
    pub source: String,
    /// License of the weights.
    pub license: String,
    /// Trained on material that is for research only: for trying docent out, to be replaced in earnest use.
    #[serde(default)]
    pub demonstration: bool,
    /// How a picture becomes its input; absent for networks that take no picture.
    pub input: Option<InputSpec>,
    /// The languages that it understands, by their BCP 47 tags; for networks that take words.
    #[serde(default)]
    pub languages: Vec<String>,
    /// What a text network was trained to multiply its cosines with, and to add to them, before the logistic function gives a
    /// probability (SigLIP: `logit_scale` after its exponential, and `logit_bias`).
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Most inputs in one call. On a CPU most of these networks gain nothing from batches.
    #[serde(default = "one")]
    pub max_batch: usize,
}

/// How a text network's cosines become probabilities: 1 / (1 + exp(-(scale · cosine + bias))).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Multiplies the cosine.
    pub scale: f64,
    /// Is added to it.
    pub bias: f64,
}

/// One file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the manifest's folder.
    pub path: String,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

fn one() -> usize {
    1
}

/// Text files of a model (labels, vocabularies, configuration) are a few hundred kilobytes.
const MAX_TEXT_BYTES: u64 = 64 << 20;

impl Pack {
    /// Reads `manifest.toml` in `folder`; opens no model file.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Manifest {
            #[serde(rename = "model")]
            models: Vec<ModelEntry>,
        }
        let path = folder.join("manifest.toml");
        let failed = |reason: String| Error::File { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let Manifest { models } = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        for entry in &models {
            for file in entry.files.values() {
                let inside = Path::new(&file.path).components().all(|c| matches!(c, Component::Normal(_)));
                if !inside {
                    return Err(failed(format!(
                        "model {} has a file outside of the folder: {}",
                        entry.id, file.path
                    )));
                }
            }
        }
        Ok(Self { folder: folder.to_path_buf(), models })
    }

    /// The folder of the manifest.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All models, in the order of the manifest.
    pub fn models(&self) -> impl Iterator<Item = &ModelEntry> {
        self.models.iter()
    }

    /// The model for a task: the first in the manifest.
    pub fn model(&self, task: Task) -> Result<&ModelEntry, Error> {
        self.models.iter().find(|entry| entry.task == task).ok_or_else(|| Error::Model {
            model: format!("for {task}"),
            reason: format!("none in {}", self.folder.join("manifest.toml").display()),
        })
    }

    /// Where a model's file lies.
    pub fn file(&self, entry: &ModelEntry, role: &str) -> Result<PathBuf, Error> {
        let file = entry.files.get(role).ok_or_else(|| Error::Model {
            model: entry.model_ref().to_string(),
            reason: format!("no '{role}' file in the manifest"),
        })?;
        Ok(self.folder.join(&file.path))
    }

    /// A model's text file.
    pub fn read_text(&self, entry: &ModelEntry, role: &str) -> Result<String, Error> {
        let path = self.file(entry, role)?;
        let failed = |reason: String| Error::File { path: path.clone(), reason };
        let file = std::fs::File::open(&path).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        file.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        Ok(text)
    }

    /// Whether every file of a model is there, whole and unchanged.
    pub fn verify(&self, entry: &ModelEntry) -> Result<(), Error> {
        for file in entry.files.values() {
            let path = self.folder.join(&file.path);
            let failed = |reason: String| Error::File { path: path.clone(), reason };
            let mut content = std::fs::File::open(&path).map_err(|error| failed(error.to_string()))?;
            let mut hasher = Sha256::new();
            let bytes =
                std::io::copy(&mut content, &mut hasher).map_err(|error| failed(error.to_string()))?;
            if bytes != file.bytes {
                return Err(failed(format!("{bytes} bytes instead of {}", file.bytes)));
            }
            let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if found != file.sha256 {
                return Err(failed(format!("checksum {found} instead of {}", file.sha256)));
            }
        }
        Ok(())
    }
}

impl ModelEntry {
    /// `id@version`.
    pub fn model_ref(&self) -> ModelRef {
        ModelRef::new(&self.id, &self.version)
    }

    /// The way a picture is prepared, for tasks that cannot do without.
    pub fn input(&self) -> Result<&InputSpec, Error> {
        self.input.as_ref().ok_or_else(|| Error::Model {
            model: self.model_ref().to_string(),
            reason: "the manifest does not say how its input is prepared".to_owned(),
        })
    }

    /// The error for an architecture that no code drives.
    pub(crate) fn unknown_architecture(&self, known: &str) -> Error {
        Error::Model {
            model: self.model_ref().to_string(),
            reason: format!(
                "architecture '{}' is not known for {}; known is {known}",
                self.architecture, self.task
            ),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tagging => "tagging",
            Self::ObjectDetection => "object detection",
            Self::FaceDetection => "face detection",
            Self::FaceLandmarks => "face landmarks",
            Self::FaceEmbedding => "face embedding",
            Self::Emotion => "emotion",
            Self::TextDetection => "text detection",
            Self::TextRecognition => "text recognition",
            Self::ImageEmbedding => "image embedding",
            Self::TextEmbedding => "text embedding",
            Self::Captioning => "captioning",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(manifest: &str) -> Result<Pack, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("manifest.toml"), manifest).expect("is written");
        Pack::open(folder.path())
    }

    const ENTRY: &str = r#"
        [[model]]
        id = "a"
        version = "1"
        task = "tagging"
        architecture = "x"
        source = "here"
        license = "MIT"
    "#;

    #[test]
    fn files_outside_of_the_folder_are_refused() {
        for path in ["../secret", "/etc/passwd", "a/../../b"] {
            let manifest = format!("{ENTRY} files.model = {{ path = '{path}', sha256 = '', bytes = 0 }}");
            let error = pack(&manifest).expect_err("is refused").to_string();
            assert!(error.contains("outside"), "{error}");
        }
    }

    #[test]
    fn a_misspelled_field_is_named() {
        let error =
            pack(&format!("{ENTRY} files = {{}}\nlicence = 'x'")).expect_err("is refused").to_string();
        assert!(error.contains("licence"), "{error}");
    }

    #[test]
    fn the_bundled_pack_is_whole() {
        let pack = Pack::open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("opens");
        assert!(pack.models().count() >= 9);
        for entry in pack.models() {
            pack.verify(entry).expect("is whole");
        }
    }

    #[test]
    fn model_references_come_back_from_their_text() {
        let model = ModelRef::new("a@b", "1");
        assert_eq!(ModelRef::try_from(model.to_string()), Ok(model));
        assert!(ModelRef::try_from("no-version".to_owned()).is_err());
        assert!(ModelRef::try_from("@1".to_owned()).is_err());
    }
}
