//! A bundle: a fitted profiler on disk.
//!
//! A folder with `weights.safetensors`, the figures, and `profile.json`, everything else that is to be known of it. It is written
//! aside and put in place as a whole; and it is refused when its parts do not belong together.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use neuro_data::files::{replace_folder, write_atomic};
use neuro_data::{Sla, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::margins::Margins;
use crate::model::{Architecture, Model};
use crate::profiler::{Load, LogTimes, Profiler, sla_index};
use crate::training_set::{FoldParams, TrainedRange};
use crate::{Error, Result, Weights};

/// Version of the format.
pub const BUNDLE_FORMAT: u32 = 1;

const WEIGHTS: &str = "weights.safetensors";
const PROFILE: &str = "profile.json";

/// The data that a profiler was made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFacts {
    /// SHA-256 of the measurements ([`crate::TrainingSet::hash`]); empty where they are not known, as of an imported profiler.
    pub hash: String,
    /// Servers that they were taken on.
    pub servers: Vec<String>,
    /// How runs were split.
    pub folds: Option<FoldParams>,
    /// Runs to learn from, choose by and take margins from.
    pub runs: [usize; 3],
    /// Ids of all of those: what a judge must leave out.
    pub used: Vec<String>,
}

/// `profile.json`: what a profiler is, what it was made of and how good it was found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// Name in tables.
    pub name: String,
    /// What it is.
    pub architecture: Architecture,
    /// Applications in the order of the tensors.
    pub apps: Vec<String>,
    /// Loads that it was trained on, by application. It says little about others.
    pub ranges: BTreeMap<String, TrainedRange>,
    /// By what its predictions are multiplied before they are promised.
    pub margins: Option<Margins>,
    /// The data.
    pub data: DataFacts,
    /// Settings of the training, as they were.
    pub training: serde_json::Value,
    /// What was found on the validation runs.
    pub metrics: serde_json::Value,
    /// What made it: name, version and, where known, commit.
    pub tool: String,
    /// SHA-256 of the weights' file, in hexadecimal digits; filled in when it is written.
    pub weights_sha256: String,
}

/// A fitted profiler with everything that is known of it.
///
/// ```
/// use neuro_data::Sla;
/// use neuro_profiler::{Bundle, Load, Profiler};
///
/// fn p95_beside(folder: &std::path::Path) -> neuro_profiler::Result<f64> {
///     let bundle = Bundle::read(folder)?;
///     let target = Load { app: bundle.app("text-bert")?, instances: 1.0, rate: 2.0 };
///     let other = Load { app: bundle.app("tclf-rf")?, instances: 4.0, rate: 20.0 };
///     // Seconds that may be promised: with the margin.
///     Ok(bundle.promises(&[target, other])?[0][2])
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    profile: Profile,
    model: Model,
}

impl Bundle {
    /// Of a fitted profiler. `profile` says the rest; its `architecture`, `apps` and `weights_sha256` are those of the model.
    pub fn new(model: Model, mut profile: Profile) -> Self {
        profile.format = BUNDLE_FORMAT;
        profile.architecture = model.architecture();
        profile.apps = model.apps().to_vec();
        Self { profile, model }
    }

    /// The profiler.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is known of it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The factor of a promise; 1 without margins.
    pub fn margin(&self, app: usize, sla: Sla) -> f64 {
        let margins = self.profile.margins.as_ref();
        margins.zip(self.profile.apps.get(app)).map_or(1.0, |(margins, app)| margins.factor(app, sla))
    }

    /// What may be promised to each tenant of a server: seconds of mean, p75 and p95 with their margins.
    ///
    /// # Errors
    ///
    /// As [`Profiler::log_times`].
    pub fn promises(&self, server: &[Load]) -> Result<Vec<[f64; 3]>> {
        let times = self.log_times(server)?;
        let promise = |(load, log_times): (&Load, LogTimes)| {
            Sla::ALL.map(|sla| log_times[sla_index(sla)].exp() * self.margin(load.app, sla))
        };
        Ok(server.iter().zip(times).map(promise).collect())
    }

    /// Writes it into a folder, in place of what is there; a crash leaves the old one whole.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if the folder cannot be written, [`Error::InvalidTensor`] for a figure that is not finite: nothing is written
    /// then.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let order = HashMap::from([("apps".to_owned(), self.profile.apps.join(","))]);
        let weights = self.model.to_weights().to_bytes(order)?;
        let profile = Profile { weights_sha256: sha256(&weights), ..self.profile.clone() };
        let mut text =
            serde_json::to_vec_pretty(&profile).map_err(|source| Error::Json { path: folder.join(PROFILE), source })?;
        text.push(b'\n');
        let aside = files::aside(folder);
        let io = |source| Error::Io { path: aside.clone(), source };
        match fs::remove_dir_all(&aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        fs::create_dir_all(&aside).map_err(io)?;
        write_atomic(&aside.join(WEIGHTS), &weights)?;
        write_atomic(&aside.join(PROFILE), &text)?;
        Ok(replace_folder(&aside, folder)?)
    }

    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::Json`] if the profile is no such JSON, [`Error::InvalidBundle`] if its parts do
    /// not belong together: another format, weights of another hash, applications in another order, a tensor that is missing, left over,
    /// of another shape or not finite, margins or ranges that cannot be.
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path: PathBuf = folder.join(name);
            fs::read(&path).map_err(|source| Error::Io { path, source })
        };
        let refuse = |problem: String| Error::InvalidBundle { path: folder.to_owned(), problem };
        let text = read(PROFILE)?;
        let profile: Profile =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: folder.join(PROFILE), source })?;
        if profile.format != BUNDLE_FORMAT {
            return Err(refuse(format!("it has format {}, this build reads {BUNDLE_FORMAT}", profile.format)));
        }
        let bytes = read(WEIGHTS)?;
        let hash = sha256(&bytes);
        if hash != profile.weights_sha256 {
            let stated = &profile.weights_sha256;
            return Err(refuse(format!("{WEIGHTS} has the hash {hash}, {PROFILE} says {stated}")));
        }
        let (weights, metadata) = Weights::from_bytes(&bytes).map_err(|e| refuse(e.to_string()))?;
        let order = metadata.get("apps").map_or("", String::as_str);
        if order != profile.apps.join(",") {
            let stated = profile.apps.join(",");
            return Err(refuse(format!("the weights are of the applications {order}, {PROFILE} says {stated}")));
        }
        if let Some(problem) = profile.problem() {
            return Err(refuse(problem));
        }
        let model = Model::from_weights(profile.architecture.clone(), profile.apps.clone(), weights)
            .map_err(|e| refuse(e.to_string()))?;
        Ok(Self { profile, model })
    }
}

impl Profiler for Bundle {
    fn apps(&self) -> &[String] {
        self.model.apps()
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.model.log_times(server)
    }
}

impl Profile {
    /// What cannot be, if anything.
    fn problem(&self) -> Option<String> {
        if let Some(twice) = self.apps.iter().enumerate().find(|(i, app)| self.apps[..*i].contains(app)) {
            return Some(format!("{} stands twice among its applications", twice.1));
        }
        for (app, range) in &self.ranges {
            let [low, high] = range.instances;
            let [slow, fast] = range.rate;
            if !(self.apps.contains(app) && 0.0 <= low && low <= high && 0.0 <= slow && slow <= fast) {
                return Some(format!("its range of {app} cannot be"));
            }
        }
        for (app, margins) in self.margins.iter().flat_map(|margins| &margins.apps) {
            let known = self.apps.contains(app);
            if !(known && Sla::ALL.iter().all(|sla| (1.0..f64::INFINITY).contains(&margins.of(*sla).factor))) {
                return Some(format!("its margins of {app} cannot be"));
            }
        }
        None
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
