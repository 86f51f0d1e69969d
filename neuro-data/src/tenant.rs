//! Tenants, and runs: sets of tenants that share a server for a while.

use serde::{Deserialize, Serialize};

use crate::seed::short_hash;
use crate::{Error, Result};

/// The statistic of the service time that a latency promise speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sla {
    /// The mean.
    Mean,
    /// The 75th percentile.
    P75,
    /// The 95th percentile.
    P95,
}

impl Sla {
    /// All three, in the order of every table.
    pub const ALL: [Self; 3] = [Self::Mean, Self::P75, Self::P95];

    /// What a request pays relative to the strictest promise: 0.8, 0.9, 1.
    pub fn price_multiplier(self) -> f64 {
        match self {
            Self::Mean => 0.8,
            Self::P75 => 0.9,
            Self::P95 => 1.0,
        }
    }

    /// Its name in files: `mean`, `p75`, `p95`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P75 => "p75",
            Self::P95 => "p95",
        }
    }
}

/// Replicas of one application under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Unique within the run.
    pub id: String,
    /// Application id.
    pub app: String,
    /// Number of replicas.
    pub instances: u32,
    /// Arrival rate per replica, requests per second.
    pub rate: f64,
}

/// What an experiment does with its tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// One application alone.
    Baseline,
    /// One application beside one other.
    Pairwise,
    /// Many tenants, drawn at random.
    Random,
    /// A placement that is put to the test.
    Replay,
}

impl RunKind {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Pairwise => "pairwise",
            Self::Random => "random",
            Self::Replay => "replay",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Baseline, Self::Pairwise, Self::Random, Self::Replay].into_iter().find(|kind| kind.name() == name)
    }
}

/// The phases of a run, seconds. Load flows from 0 to `warmup_s + duration_s`; the window is its second part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Load that is discarded.
    pub warmup_s: f64,
    /// The measured window.
    pub duration_s: f64,
    /// How long unfinished requests are awaited after the window; what is unfinished then is censored.
    pub drain_s: f64,
    /// Inferences of each replica before any load.
    pub warmup_inferences: u32,
}

impl Phases {
    /// Seconds from the run's start to the window's end.
    pub fn end_s(&self) -> f64 {
        self.warmup_s + self.duration_s
    }
}

/// Everything that determines a run. Two runs of equal specifications are the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// What kind of experiment it belongs to.
    pub kind: RunKind,
    /// Which configuration this is, readable and stable, such as `kalman-gru_tclf-rf_n2_r20`.
    pub name: String,
    /// Which repetition of the configuration, from 0.
    pub repeat: u32,
    /// Master seed of the campaign; every stream of the run is derived from it and from the run's id.
    pub seed: u64,
    /// Compute threads of each replica.
    pub threads: u32,
    /// The phases.
    pub phases: Phases,
    /// Who runs, the observed tenant first.
    pub tenants: Vec<Tenant>,
    /// Where it runs, such as `sim/edge-a` or `kube/edge-1`, so that runs of one campaign on two of them are two; none where that
    /// goes without saying, as on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl RunSpec {
    /// A name for the run that is unique among specifications: kind, name, repetition and a hash of all the rest.
    pub fn run_id(&self) -> String {
        format!("{}_{}_{}_{}", self.kind.name(), self.name, self.repeat, self.hash())
    }

    /// The same run, on that target.
    #[must_use]
    pub fn on(self, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    /// The first eight hexadecimal digits of the SHA-256 of the specification as JSON.
    pub fn hash(&self) -> String {
        short_hash(&serde_json::to_vec(self).unwrap_or_default(), 4)
    }

    /// The configuration that repetitions share: everything but the repetition's number.
    pub fn configuration(&self) -> String {
        Self { repeat: 0, ..self.clone() }.run_id()
    }

    /// Checks every number and name.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let seconds = |field: &str, value: f64, least: f64| {
            if value.is_finite() && value >= least && value <= 1e7 {
                Ok(())
            } else {
                Err(Error::invalid(field, value, "a finite number of seconds, and a positive duration"))
            }
        };
        seconds("phases.warmup_s", self.phases.warmup_s, 0.0)?;
        seconds("phases.duration_s", self.phases.duration_s, 1e-3)?;
        seconds("phases.drain_s", self.phases.drain_s, 0.0)?;
        if self.name.is_empty() || self.name.len() > 150 || !self.name.chars().all(is_usable) {
            return Err(Error::invalid(
                "name",
                &self.name,
                "1 to 150 letters, digits and - _ . + (it becomes a folder)",
            ));
        }
        if self.threads == 0 {
            return Err(Error::invalid("threads", 0, "at least 1"));
        }
        Tenant::validate_all(&self.tenants)
    }
}

impl Tenant {
    /// Checks the tenants of a run: at least one, with usable and unique ids and numbers in range.
    pub(crate) fn validate_all(tenants: &[Self]) -> Result<()> {
        if tenants.is_empty() {
            return Err(Error::invalid("tenants", "[]", "at least one tenant"));
        }
        for (i, tenant) in tenants.iter().enumerate() {
            let field = |name: &str| format!("tenants[{i}].{name}");
            if tenant.id.is_empty() || tenant.id.len() > 60 || !tenant.id.chars().all(is_usable) {
                return Err(Error::invalid(field("id"), &tenant.id, "1 to 60 letters, digits and - _ . +"));
            }
            if tenants[..i].iter().any(|other| other.id == tenant.id) {
                return Err(Error::invalid(field("id"), &tenant.id, "unique within the run"));
            }
            if tenant.instances == 0 {
                return Err(Error::invalid(field("instances"), 0, "at least 1"));
            }
            if !(tenant.rate.is_finite() && tenant.rate > 0.0) {
                return Err(Error::invalid(field("rate"), tenant.rate, "a positive number of requests per second"));
            }
        }
        Ok(())
    }
}

/// Whether a character may stand in a name that becomes a file's.
fn is_usable(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> RunSpec {
        RunSpec {
            kind: RunKind::Baseline,
            name: "a".into(),
            repeat: 0,
            seed: 1,
            threads: 1,
            phases: Phases { warmup_s: 0.5, duration_s: 2.0, drain_s: 1.0, warmup_inferences: 2 },
            tenants: vec![Tenant { id: "a".into(), app: "a".into(), instances: 1, rate: 5.0 }],
            target: None,
        }
    }

    #[test]
    fn the_id_speaks_of_everything_and_the_configuration_of_all_but_the_repetition() {
        let first = spec();
        let again = RunSpec { repeat: 1, ..spec() };
        assert_ne!(first.run_id(), again.run_id());
        assert_eq!(first.configuration(), again.configuration());
        assert_ne!(first.run_id(), RunSpec { seed: 2, ..spec() }.run_id());
        let mut longer = spec();
        longer.phases.duration_s = 3.0;
        assert_ne!(first.run_id(), longer.run_id());
        assert_ne!(first.configuration(), longer.configuration());
    }

    #[test]
    fn one_campaign_on_two_targets_is_two_and_manifests_without_a_target_are_read() {
        let here = spec();
        let [a, b] = ["sim/edge-a", "sim/edge-b"].map(|target| spec().on(target));
        assert_ne!(a.run_id(), b.run_id());
        assert_ne!(a.run_id(), here.run_id());
        assert_ne!(a.configuration(), b.configuration());
        let json = serde_json::to_string(&here).unwrap();
        assert!(!json.contains("target"));
        assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), here);
    }

    #[test]
    fn bad_specifications_are_refused_with_their_field() {
        spec().validate().unwrap();
        let broken = |field: &str, change: fn(&mut RunSpec)| {
            let mut spec = spec();
            change(&mut spec);
            let message = spec.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field}: {message}");
        };
        broken("duration_s", |s| s.phases.duration_s = 0.0);
        broken("warmup_s", |s| s.phases.warmup_s = f64::NAN);
        broken("drain_s", |s| s.phases.drain_s = -1.0);
        broken("name", |s| s.name = "../up".into());
        broken("threads", |s| s.threads = 0);
        broken("tenants", |s| s.tenants.clear());
        broken("instances", |s| s.tenants[0].instances = 0);
        broken("rate", |s| s.tenants[0].rate = f64::INFINITY);
        broken("id", |s| s.tenants.push(s.tenants[0].clone()));
    }
}
