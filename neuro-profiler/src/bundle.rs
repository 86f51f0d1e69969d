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

use crate::margins::{Margins, loaded};
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

    /// The bundle whose *predictions* have the headroom of this one's margins, and whose margins are factors alone: both promise the
    /// same, but here a promise is a bound on an output of the network itself. Placement decides by it.
    #[must_use]
    pub fn with_headroom(mut self) -> Self {
        if let Some(margins) = self.profile.margins.as_mut().filter(|margins| margins.headroom != 0.0)
            && let Model::ServerState(model) = &self.model
        {
            self.model = Model::ServerState(model.with_headroom(margins.headroom));
            margins.headroom = 0.0;
        }
        self
    }

    /// What may be promised to each tenant of a server: seconds of mean, p75 and p95 with their margins.
    ///
    /// # Errors
    ///
    /// As [`Profiler::log_times`].
    pub fn promises(&self, server: &[Load]) -> Result<Vec<[f64; 3]>> {
        let headroom = self.profile.margins.as_ref().map_or(0.0, |margins| margins.headroom);
        let times = self.log_times(&loaded(server, headroom))?;
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
        if let Some(margins) = &self.margins {
            let has_state = matches!(self.architecture, Architecture::ServerState(_));
            let most = if has_state { 1.0 } else { 0.0 };
            if !(0.0..=most).contains(&margins.headroom) {
                return Some(format!("its headroom of {} cannot be", margins.headroom));
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

#[cfg(test)]
#[cfg(feature = "candle")]
mod tests {
    use super::*;
    use crate::baselines::{Reach, TreesShape};
    use crate::deep_sets::DeepSetsShape;
    use crate::fit::{FitParams, Recipe, fit};
    use crate::synthetic;
    use crate::train::{ContextPoint, DeepSetsParams, ServerStateParams};
    use crate::training_set::TrainingSet;

    fn bundle_of(set: &TrainingSet, recipe: &Recipe) -> Bundle {
        fit(set, recipe, &FitParams::default(), None, &mut ()).unwrap().bundle
    }

    fn small() -> Recipe {
        Recipe::ServerState(ServerStateParams { steps: 60, ..ServerStateParams::default() })
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let set = synthetic::with_pairs(60, 1);
        let points: Vec<ContextPoint> = set.runs.iter().flat_map(ContextPoint::of_run).collect();
        let paper = |shape| Recipe::Paper(DeepSetsParams { shape, epochs: 1, ..Default::default() }, points.clone());
        let recipes = [
            small(),
            paper(DeepSetsShape::default()),
            paper(DeepSetsShape::sum_max()),
            paper(DeepSetsShape::flat()),
            Recipe::Perx,
            Recipe::ScalOran(Reach::Average),
            Recipe::ScalOran(Reach::Own),
            Recipe::Queueing,
            Recipe::Trees(TreesShape { trees: 3, depth: 3 }),
            Recipe::Uncontended,
        ];
        let folder = tempfile::tempdir().unwrap();
        for recipe in recipes {
            let bundle = bundle_of(&set, &recipe);
            let path = folder.path().join(recipe.name());
            bundle.write(&path).unwrap();
            // Once more in place of the first.
            bundle.write(&path).unwrap();
            let back = Bundle::read(&path).unwrap();
            assert_eq!(back.profile().name, recipe.name());
            assert_eq!(back.model(), bundle.model());
            let server = set.runs[0].server();
            let times = back.log_times(&server).unwrap();
            assert_eq!(times, bundle.log_times(&server).unwrap());
            assert!(times.iter().all(|[mean, p75, p95]| mean.is_finite() && p95 >= p75), "{}", recipe.name());
            // A factor is at least 1, on what is predicted with the headroom.
            let promises = back.promises(&server).unwrap();
            let times = back.with_headroom().log_times(&server).unwrap();
            assert!(promises.iter().zip(times).all(|(promise, time)| promise[0] >= (1.0 - 1e-12) * time[0].exp()));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 10);
    }

    /// A bundle on disk after a change of its profile's text and of its weights' bytes.
    fn read_changed(
        profile: impl Fn(&mut serde_json::Value),
        weights: impl Fn(&mut Weights, &mut HashMap<String, String>),
        rehash: bool,
    ) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        bundle_of(&synthetic::training_set(40, 0.0, 1), &small()).write(&path).unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(&fs::read(path.join(PROFILE)).unwrap()).unwrap();
        let (mut tensors, mut metadata) = Weights::from_bytes(&fs::read(path.join(WEIGHTS)).unwrap()).unwrap();
        weights(&mut tensors, &mut metadata);
        let bytes = tensors.to_bytes(metadata).unwrap();
        if rehash {
            value["weights_sha256"] = sha256(&bytes).into();
        }
        profile(&mut value);
        fs::write(path.join(WEIGHTS), bytes).unwrap();
        fs::write(path.join(PROFILE), value.to_string()).unwrap();
        Bundle::read(&path).map_or_else(|error| format!("{error:?}: {error}"), |_| "read".to_owned())
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let same = |_: &mut Weights, _: &mut HashMap<String, String>| {};
        assert_eq!(read_changed(|_| {}, same, false), "read");
        let refused = |message: String, word: &str| {
            assert!(message.contains("refused") && message.contains(word), "{word}: {message}");
        };
        refused(read_changed(|p| p["format"] = 7.into(), same, false), "format 7");
        refused(read_changed(|p| p["weights_sha256"] = "00".into(), same, false), "hash");
        refused(read_changed(|p| p["apps"].as_array_mut().unwrap().swap(0, 1), same, false), "b,a,c,d");
        refused(read_changed(|p| p["architecture"]["state"] = 9.into(), same, false), "shape");
        refused(read_changed(|p| p["ranges"]["a"]["rate"] = serde_json::json!([2.0, 1.0]), same, false), "range");
        refused(read_changed(|p| p["margins"]["headroom"] = (-0.1).into(), same, false), "headroom");
        refused(read_changed(|p| p["margins"]["apps"]["a"]["p95"]["factor"] = 0.5.into(), same, false), "margins");
        let change = |name: &'static str, with: Option<f64>| {
            move |weights: &mut Weights, _: &mut HashMap<String, String>| {
                let mut tensor = weights.take(name).unwrap();
                if let Some(value) = with {
                    tensor.fill(value);
                    weights.insert(name, tensor);
                }
            }
        };
        refused(read_changed(|_| {}, change("head.1.bias", None), true), "missing");
        refused(read_changed(|_| {}, change("base_s", Some(-1.0)), true), "base time");
        refused(read_changed(|_| {}, change("head.1.bias", Some(1.0)), false), "hash");
        let extra = |weights: &mut Weights, _: &mut HashMap<String, String>| {
            weights.insert("more", ndarray::arr1(&[1.0]).into_dyn());
        };
        refused(read_changed(|_| {}, extra, true), "belongs to nothing");
        let order = |_: &mut Weights, metadata: &mut HashMap<String, String>| {
            metadata.insert("apps".to_owned(), "a,b,d,c".to_owned());
        };
        refused(read_changed(|_| {}, order, true), "a,b,d,c");
        assert!(read_changed(|p| p["unknown"] = 1.into(), same, false).contains("Json"));
    }

    #[test]
    fn a_figure_that_is_no_number_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        bundle_of(&synthetic::training_set(40, 0.0, 1), &small()).write(&path).unwrap();
        let mut bytes = fs::read(path.join(WEIGHTS)).unwrap();
        let end = bytes.len();
        // The last tensor is single precision.
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path.join(WEIGHTS), &bytes).unwrap();
        let text = fs::read_to_string(path.join(PROFILE)).unwrap();
        let profile: Profile = serde_json::from_str(&text).unwrap();
        fs::write(path.join(PROFILE), text.replace(&profile.weights_sha256, &sha256(&bytes))).unwrap();
        let message = Bundle::read(&path).unwrap_err().to_string();
        assert!(message.contains("not finite"), "{message}");
        fs::write(path.join(WEIGHTS), &bytes[..end / 2]).unwrap();
        assert!(Bundle::read(&path).is_err());
        fs::remove_file(path.join(WEIGHTS)).unwrap();
        assert!(matches!(Bundle::read(&path), Err(Error::Io { .. })));
    }

    #[test]
    fn a_trained_profiler_grows_by_applications_and_keeps_the_old_ones() {
        let whole = synthetic::training_set(60, 0.0, 1);
        let mut part = synthetic::training_set(60, 0.0, 2);
        part.apps.truncate(3);
        part.runs.iter_mut().for_each(|run| run.tenants.retain(|tenant| tenant.load.app < 3));
        part.runs.retain(|run| !run.tenants.is_empty());
        let old = bundle_of(&part, &small());
        let none = Recipe::ServerState(ServerStateParams { steps: 1, rate: 1e-12, ..Default::default() });
        let grown = fit(&whole, &none, &FitParams::default(), Some(&old), &mut ()).unwrap().bundle;
        assert_eq!(grown.apps(), ["a", "b", "c", "d"]);
        let (Model::ServerState(old), Model::ServerState(new)) = (old.model(), grown.model()) else { unreachable!() };
        for app in 0..3 {
            for (a, b) in old.embedding().row(app).iter().zip(new.embedding().row(app)) {
                assert!((a - b).abs() < 1e-6);
            }
            let outputs = |model: &crate::server_state::ServerState| {
                let h = model.state(&[Load { app, instances: 3.0, rate: 5.0 }]);
                model.head().forward(h.view()).unwrap()[3 * app]
            };
            assert!((outputs(old) - outputs(new)).abs() < 1e-5);
        }
    }
}
