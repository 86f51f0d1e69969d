//! What the flags that several commands have stand for: files read, defaults filled in.

use std::path::Path;

use anyhow::Context;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::{Catalogue, Dataset, Phases};
use neuro_k8s::sim::SimParams;
use neuro_opt::placement::Profiles;
use neuro_profiler::Bundle;
use serde::de::DeserializeOwned;

use crate::args::{CatalogueArgs, InstanceArgs, PhaseArgs, PlanArgs, ProfileArgs, SimArgs};

/// The text of a file.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A dataset, where a folder is one.
pub(super) fn open_dataset(path: &Path) -> anyhow::Result<Dataset> {
    if !path.join("tenants").is_dir() {
        let (field, value) = ("the dataset".to_owned(), path.display().to_string());
        let expected = "a dataset, as `neuro run` leaves it in its folder and `neuro ingest` makes it";
        return Err(neuro_data::Error::Invalid { field, value, expected }.into());
    }
    Ok(Dataset::open(path)?)
}

/// What a JSON file holds; one that does not is bad input.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    parse_json(path, &read_text(path)?)
}

/// A bundle, where a folder is one.
pub(super) fn read_bundle(path: &Path) -> anyhow::Result<Bundle> {
    Bundle::read(path).with_context(|| format!("{} is no profiler that `neuro train` made", path.display()))
}

/// What the text of a JSON file says.
pub(super) fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    let malformed =
        |e: serde_json::Error| neuro_data::Error::Malformed { path: path.to_owned(), reason: e.to_string() };
    Ok(serde_json::from_str(text).map_err(malformed)?)
}

impl CatalogueArgs {
    /// The built-in catalogue, with what the file adds.
    pub(super) fn read(&self) -> anyhow::Result<Catalogue> {
        let Some(path) = &self.catalogue else { return Ok(Catalogue::built_in()) };
        Catalogue::built_in().extended(&read_text(path)?).with_context(|| format!("in {}", path.display()))
    }
}

impl SimArgs {
    /// The parameters of simulated servers.
    pub(super) fn read(&self) -> anyhow::Result<SimParams> {
        let Some(path) = &self.sim else { return Ok(SimParams::built_in()) };
        SimParams::from_toml(&read_text(path)?).with_context(|| format!("in {}", path.display()))
    }
}

impl InstanceArgs {
    pub(super) fn read(&self) -> anyhow::Result<Instance> {
        Instance::from_json(&read_text(&self.instance)?).with_context(|| format!("in {}", self.instance.display()))
    }
}

impl PlanArgs {
    pub(super) fn read(&self) -> anyhow::Result<(Plan, Instance)> {
        Ok((read_json(&self.plan)?, self.of.read()?))
    }
}

impl ProfileArgs {
    pub(super) fn read(&self) -> anyhow::Result<Profiles> {
        let mut profiles = Profiles::default();
        for text in &self.profile {
            profiles = match text.split_once('=') {
                Some((kind, folder)) => profiles.with(kind, read_bundle(Path::new(folder))?),
                None => profiles.and_of_all(read_bundle(Path::new(text))?),
            };
        }
        Ok(profiles)
    }
}

impl PhaseArgs {
    /// The phases that were asked for, else the default ones.
    pub(super) fn or(&self, default: Phases) -> Phases {
        Phases {
            warmup_s: self.warmup.unwrap_or(default.warmup_s),
            duration_s: self.duration.unwrap_or(default.duration_s),
            drain_s: self.drain.unwrap_or(default.drain_s),
            ..default
        }
    }
}
