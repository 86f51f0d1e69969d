//! The parameters of simulated servers and services, and their TOML file.

use neuro_data::{Error, Result, derive_seed};
use serde::{Deserialize, Serialize};

use super::demand::{Demand, invalid};

/// The built-in parameters as they are written, with what each figure is.
pub const BUILT_IN: &str = include_str!("built_in.toml");

/// A kind of server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerKind {
    /// Unique name, such as `edge-a`.
    pub name: String,
    /// Cores.
    pub cores: f64,
    /// Speed of a core, relative to the one that demands are stated for.
    pub speed: f64,
    /// Memory bandwidth, GB/s.
    pub bandwidth_gbs: f64,
    /// Share of its pressure that an inference keeps while it gets no core, 0 to 1: 1 where caches are fought over, 0 where
    /// bandwidth is; 1 by default.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub waiting_pressure: f64,
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// What a pause for garbage collection costs a replica.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Garbage {
    /// Inferences of a replica from one pause to the next, at least 1.
    pub every: u32,
    /// Further demand of the inference that meets it, seconds.
    pub pause_s: f64,
}

/// One service as it behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Application id.
    pub id: String,
    /// Time of an inference alone on a server of speed 1.
    pub demand: Demand,
    /// Cores that one inference can use at once; a part of one for a service that hardly suffers where cores are scarce.
    pub parallelism: f64,
    /// Memory traffic that a running inference asks for, GB/s: its pressure on the others.
    pub pressure_gbs: f64,
    /// Further time of an inference, in units of its time alone, where the others ask for the whole memory bandwidth.
    pub sensitivity: f64,
    /// Further demand of a replica's first inference, seconds; none by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub startup_s: f64,
    /// Pauses for garbage collection; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garbage: Option<Garbage>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Service {
    /// A service of one core and no memory traffic.
    pub fn new(id: impl Into<String>, demand: Demand) -> Self {
        Self {
            id: id.into(),
            demand,
            parallelism: 1.0,
            pressure_gbs: 0.0,
            sensitivity: 0.0,
            startup_s: 0.0,
            garbage: None,
        }
    }

    fn validate(&self) -> Result<()> {
        let field = |name: &str| format!("app {:?}: {name}", self.id);
        self.demand.validate(field)?;
        positive(field("parallelism"), self.parallelism, "a positive number of cores")?;
        for (name, value) in
            [("pressure_gbs", self.pressure_gbs), ("sensitivity", self.sensitivity), ("startup_s", self.startup_s)]
        {
            not_negative(field(name), value)?;
        }
        if let Some(garbage) = self.garbage {
            not_negative(field("garbage.pause_s"), garbage.pause_s)?;
            if garbage.every == 0 {
                return Err(invalid(field("garbage.every"), 0, "at least 1"));
            }
        }
        Ok(())
    }
}

/// Simulated servers and services: the content of a TOML file of `[[kind]]` and `[[app]]` entries.
///
/// # Example
/// ```
/// let text = r#"
///     [[kind]]
///     name = "small"
///     cores = 4
///     speed = 1.0
///     bandwidth_gbs = 20
///
///     [[app]]
///     id = "my-service"
///     demand = { shape = "lognormal", mean_s = 0.05, cv = 0.3 }
///     parallelism = 1
///     pressure_gbs = 2
///     sensitivity = 1.5
/// "#;
/// let parameters = neuro_k8s::sim::SimParams::from_toml(text)?;
/// assert_eq!(parameters.server("small")?.kind().cores, 4.0);
/// # Ok::<(), neuro_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimParams {
    /// The kinds of servers, the default one first.
    #[serde(rename = "kind")]
    pub kinds: Vec<ServerKind>,
    /// The services.
    #[serde(rename = "app")]
    pub services: Vec<Service>,
}

impl SimParams {
    /// The nine services of the NeuRO study on two kinds of servers of 16 cores, `edge-a` and the slower `edge-b`.
    #[expect(clippy::expect_used, reason = "the text is part of this crate and a test reads it")]
    pub fn built_in() -> Self {
        toml::from_str(BUILT_IN).expect("the built-in parameters are valid")
    }

    /// Reads and checks parameters.
    ///
    /// # Errors
    /// The text is not TOML of that form, names something twice, or a value is out of range.
    pub fn from_toml(text: &str) -> Result<Self> {
        let params: Self = toml::from_str(text)
            .map_err(|e| Error::Malformed { path: "simulation parameters".into(), reason: e.to_string() })?;
        params.validate()?;
        Ok(params)
    }

    /// The parameters as TOML.
    ///
    /// # Errors
    /// A value has no TOML form; none has.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|e| Error::Malformed { path: "simulation parameters".into(), reason: e.to_string() })
    }

    /// Checks every number and name.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.kinds.is_empty() {
            return Err(invalid("kind".to_owned(), "missing", "at least one kind of server"));
        }
        for (i, kind) in self.kinds.iter().enumerate() {
            let field = |name: &str| format!("kind {:?}: {name}", kind.name);
            positive(field("cores"), kind.cores, "a positive number")?;
            positive(field("speed"), kind.speed, "a positive number")?;
            positive(field("bandwidth_gbs"), kind.bandwidth_gbs, "a positive number of GB/s")?;
            if !(0.0..=1.0).contains(&kind.waiting_pressure) {
                return Err(invalid(field("waiting_pressure"), kind.waiting_pressure, "a share from 0 to 1"));
            }
            if kind.name.is_empty() || self.kinds[..i].iter().any(|other| other.name == kind.name) {
                return Err(invalid(field("name"), &kind.name, "a name that stands once"));
            }
        }
        for (i, service) in self.services.iter().enumerate() {
            service.validate()?;
            if self.services[..i].iter().any(|other| other.id == service.id) {
                return Err(invalid("app id".to_owned(), &service.id, "an id that stands once"));
            }
        }
        Ok(())
    }

    /// The server of a kind.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn server(&self, kind: &str) -> Result<SimulatedServer<'_>> {
        let found = self.kinds.iter().find(|known| known.name == kind);
        let kind = found.ok_or_else(|| invalid("kind".to_owned(), kind, "the name of a [[kind]] of the parameters"))?;
        Ok(SimulatedServer { kind, services: &self.services })
    }
}

/// A server of a kind and what its services are like.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedServer<'a> {
    kind: &'a ServerKind,
    services: &'a [Service],
}

impl<'a> SimulatedServer<'a> {
    /// Its kind.
    pub fn kind(&self) -> &'a ServerKind {
        self.kind
    }

    /// What a run's specification says of its target where it is meant for this server: `sim/` and the kind.
    pub fn target(&self) -> String {
        format!("{}/{}", super::TARGET, self.kind.name)
    }

    /// The service of that id.
    ///
    /// # Errors
    /// [`Error::UnknownApp`], which lists the known ones.
    pub fn service(&self, id: &str) -> Result<&'a Service> {
        self.services.iter().find(|service| service.id == id).ok_or_else(|| Error::UnknownApp {
            id: id.to_owned(),
            known: self.services.iter().map(|service| service.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// What tells these parameters from others: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_string(&(self.kind, self.services)).unwrap_or_default();
        format!("{:016x}", derive_seed(0, &["simulated server", &text]))
    }
}

fn positive(field: String, value: f64, expected: &'static str) -> Result<()> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(invalid(field, value, expected)) }
}

fn not_negative(field: String, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(invalid(field, value, "zero or more")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_parameters_are_valid_and_of_the_catalogue() {
        let params = SimParams::built_in();
        params.validate().unwrap();
        let catalogue = neuro_data::Catalogue::built_in();
        let ids: Vec<&str> = params.services.iter().map(|service| service.id.as_str()).collect();
        assert_eq!(ids, catalogue.apps().iter().map(|app| app.id.as_str()).collect::<Vec<_>>());
        assert!(params.server("edge-a").unwrap().kind().speed > params.server("edge-b").unwrap().kind().speed);
        assert!(params.server("edge-c").unwrap_err().to_string().contains("edge-c"));
    }

    #[test]
    fn parameters_survive_toml() {
        let mut params = SimParams::built_in();
        params.services[0].garbage = Some(Garbage { every: 100, pause_s: 0.2 });
        params.kinds[1].waiting_pressure = 0.25;
        params.services[1].startup_s = 3.0;
        params.services[2].demand = Demand::Quantiles { values_s: vec![0.1, 0.25, 1.0 / 3.0] };
        let text = params.to_toml().unwrap();
        assert_eq!(SimParams::from_toml(&text).unwrap(), params, "{text}");
        let of = |params: &SimParams| params.server("edge-a").unwrap().fingerprint();
        assert_ne!(of(&params), of(&SimParams::built_in()));
    }

    #[test]
    fn bad_parameters_are_refused_with_their_field() {
        let broken = |word: &str, change: fn(&mut SimParams)| {
            let mut params = SimParams::built_in();
            change(&mut params);
            let message = params.validate().unwrap_err().to_string();
            assert!(message.contains(word), "{word}: {message}");
        };
        broken("cores", |p| p.kinds[0].cores = 0.0);
        broken("speed", |p| p.kinds[0].speed = f64::NAN);
        broken("bandwidth_gbs", |p| p.kinds[0].bandwidth_gbs = -1.0);
        broken("name", |p| p.kinds[1].name = p.kinds[0].name.clone());
        broken("waiting_pressure", |p| p.kinds[0].waiting_pressure = 1.1);
        broken("kind", |p| p.kinds.clear());
        broken("parallelism", |p| p.services[0].parallelism = 0.0);
        broken("sensitivity", |p| p.services[0].sensitivity = -0.1);
        broken("pressure_gbs", |p| p.services[0].pressure_gbs = f64::INFINITY);
        broken("mean_s", |p| p.services[0].demand = Demand::Exponential { mean_s: 0.0 });
        broken("cv", |p| p.services[0].demand = Demand::Lognormal { mean_s: 1.0, cv: -1.0 });
        broken("values_s", |p| p.services[0].demand = Demand::Quantiles { values_s: vec![2.0, 1.0] });
        broken("garbage.every", |p| p.services[0].garbage = Some(Garbage { every: 0, pause_s: 1.0 }));
        broken("app id", |p| p.services[1].id = p.services[0].id.clone());
    }
}
