//! Scenarios: random instances as the NeuRO study draws them.
//!
//! Differences from the prototype: rates are per instance, as everywhere here (it draws them per tenant and trains on rates per
//! instance), and every stated range includes both of its ends.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::instance::{Instance, Request, Server};
use crate::{Application, Catalogue, Error, LoadClass, Result, Sla, derive_seed};

/// Requests per server.
pub const REQUESTS_PER_SERVER: usize = 15;

/// Where the requests of an instance come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// `s1`: every application alike, at high and at low load.
    Mixed,
    /// `s2`: 40 % of the requests are real-time, the rest patient.
    Patient,
    /// `s3`: 90 % of the requests are real-time.
    RealTime,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 3] = [Self::Mixed, Self::Patient, Self::RealTime];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "s1",
            Self::Patient => "s2",
            Self::RealTime => "s3",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scenario {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        named.ok_or_else(|| Error::invalid("scenario", name, "s1, s2 or s3"))
    }
}

/// What to draw.
#[derive(Debug, Clone)]
pub struct ScenarioParams {
    /// Where the requests come from.
    pub scenario: Scenario,
    /// Servers, at least 1.
    pub servers: usize,
    /// Kinds of the servers, at least one, the better before the worse: each gets an equal share, the first ones one more where it
    /// does not come out even.
    pub kinds: Vec<String>,
    /// Memory of each server, GB.
    pub memory_gb: f64,
    /// Requests; [`REQUESTS_PER_SERVER`] a server where it is `None`.
    pub requests: Option<usize>,
    /// By which latency bounds are multiplied, above 0: below 1, latency binds before memory does.
    pub tightness: f64,
    /// Master seed.
    pub seed: u64,
}

impl ScenarioParams {
    /// Of servers of two kinds, `edge-a` and `edge-b`, with 32 GB each, as the study has them.
    pub fn new(scenario: Scenario, servers: usize, seed: u64) -> Self {
        let kinds = ["edge-a", "edge-b"].map(str::to_owned).into();
        Self { scenario, servers, kinds, memory_gb: 32.0, requests: None, tightness: 1.0, seed }
    }
}

/// The three applications that the study calls real-time.
const REAL_TIME: [&str; 3] = ["tclf-rf", "kalman-gru", "tstr-lstm"];
/// Bounds on the latency of patient requests, seconds.
const PATIENT_DELAY_S: [f64; 2] = [3.0, 5.0];

/// Draws an instance. The same parameters draw the same one.
///
/// # Errors
/// A parameter is out of its range, or the catalogue lacks applications that the scenario asks for.
///
/// # Example
/// ```
/// use neuro_data::Catalogue;
/// use neuro_data::scenario::{Scenario, ScenarioParams, draw};
///
/// let params = ScenarioParams::new(Scenario::Mixed, 3, 19);
/// let instance = draw(&params, &Catalogue::built_in())?;
/// assert_eq!((instance.servers.len(), instance.requests.len()), (3, 45));
/// let kinds: Vec<&str> = instance.servers.iter().map(|server| server.kind.as_str()).collect();
/// assert_eq!(kinds, ["edge-a", "edge-a", "edge-b"]);
/// # Ok::<(), neuro_data::Error>(())
/// ```
pub fn draw(params: &ScenarioParams, catalogue: &Catalogue) -> Result<Instance> {
    if params.servers == 0 {
        return Err(Error::invalid("servers", 0, "at least 1"));
    }
    if params.kinds.is_empty() {
        return Err(Error::invalid("kinds", "", "at least one kind of server"));
    }
    if !(params.tightness.is_finite() && params.tightness > 0.0) {
        return Err(Error::invalid("tightness", params.tightness, "a positive number"));
    }
    let share = |i: usize| i * params.kinds.len() / params.servers;
    let servers = (0..params.servers).map(|i| Server {
        name: format!("edge-{}", i + 1),
        kind: params.kinds[share(i)].clone(),
        memory_gb: params.memory_gb,
    });
    let (real_time, low) = pools(params.scenario, catalogue)?;
    let count = params.requests.unwrap_or(REQUESTS_PER_SERVER * params.servers);
    let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(params.seed, &["scenario", params.scenario.name()]));
    let mut requests = Vec::with_capacity(count);
    for i in 0..count {
        let mut request = match params.scenario {
            Scenario::Mixed => any(catalogue.apps(), &mut rng),
            Scenario::Patient => one_of(&real_time, 0.4, &low, &mut rng),
            Scenario::RealTime => one_of(&real_time, 0.9, &low, &mut rng),
        };
        request.id = format!("r{}", i + 1);
        request.delay_s = thousandths(request.delay_s * params.tightness).max(0.001);
        requests.push(request);
    }
    let instance = Instance { servers: servers.collect(), requests };
    instance.validate()?;
    Ok(instance)
}

/// The real-time applications and those of the low class.
fn pools(scenario: Scenario, catalogue: &Catalogue) -> Result<(Vec<&Application>, Vec<&Application>)> {
    if scenario == Scenario::Mixed && !catalogue.apps().is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let real_time = REAL_TIME.map(|id| catalogue.get(id)).into_iter().collect::<Result<Vec<_>>>()?;
    let low: Vec<_> = catalogue.apps().iter().filter(|app| app.load == LoadClass::Low).collect();
    if low.is_empty() {
        return Err(Error::invalid("catalogue", "no application", "at least one of the low load class"));
    }
    Ok((real_time, low))
}

/// A request of scenario s1.
fn any(apps: &[Application], rng: &mut ChaCha8Rng) -> Request {
    let app = &apps[rng.gen_range(0..apps.len())];
    match app.load {
        LoadClass::High => {
            let rate = f64::from(rng.gen_range(20..=99_u32));
            let instances = rng.gen_range(2..=9);
            request(app, rate, instances, app.delay_s, rng)
        }
        LoadClass::Low => {
            let instances = rng.gen_range(1..=2);
            request(app, f64::from(instances), instances, app.delay_s, rng)
        }
    }
}

/// A request of scenarios s2 and s3.
fn one_of(real_time: &[&Application], share: f64, low: &[&Application], rng: &mut ChaCha8Rng) -> Request {
    if rng.gen_bool(share) {
        let app = real_time[rng.gen_range(0..real_time.len())];
        let instances = rng.gen_range(2..=9);
        request(app, f64::from(instances), instances, app.delay_s, rng)
    } else {
        let app = low[rng.gen_range(0..low.len())];
        let instances = rng.gen_range(1..=3);
        request(app, f64::from(instances), instances, PATIENT_DELAY_S, rng)
    }
}

/// A request at `rate` in all over its instances.
fn request(app: &Application, rate: f64, instances: u32, delay_s: [f64; 2], rng: &mut ChaCha8Rng) -> Request {
    let sla = Sla::ALL[rng.gen_range(0..Sla::ALL.len())];
    let n = f64::from(instances);
    let premium = match app.load {
        LoadClass::High => 0.15 * rate / 50.0 + 0.15 * n / 5.0,
        LoadClass::Low => 0.1 * rate / 2.5 + 0.1 * n / 1.5,
    };
    Request {
        id: String::new(),
        app: app.id.clone(),
        instances,
        rate: rate / n,
        payment: app.price * (1.0 + premium) * sla.price_multiplier(),
        delay_s: thousandths(rng.gen_range(delay_s[0]..=delay_s[1])),
        sla,
    }
}

fn thousandths(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(scenario: Scenario) -> Instance {
        let params = ScenarioParams { requests: Some(4_000), ..ScenarioParams::new(scenario, 4, 1) };
        draw(&params, &Catalogue::built_in()).unwrap()
    }

    /// The share of requests for which something holds.
    fn share(instance: &Instance, holds: impl Fn(&Request) -> bool) -> f64 {
        instance.requests.iter().filter(|request| holds(request)).count() as f64 / instance.requests.len() as f64
    }

    #[test]
    fn requests_lie_in_the_ranges_of_the_study_and_reach_both_ends() {
        let catalogue = Catalogue::built_in();
        let instance = drawn(Scenario::Mixed);
        let mut ends = [(u32::MAX, 0); 2];
        for request in &instance.requests {
            let app = catalogue.get(&request.app).unwrap();
            let (n, total) = (f64::from(request.instances), f64::from(request.instances) * request.rate);
            let premium = match app.load {
                LoadClass::High => {
                    assert!((19.999..99.001).contains(&total), "{request:?}");
                    0.15 * total / 50.0 + 0.15 * n / 5.0
                }
                LoadClass::Low => {
                    assert!((request.rate - 1.0).abs() < 1e-12, "{request:?}");
                    0.1 * total / 2.5 + 0.1 * n / 1.5
                }
            };
            let payment = app.price * (1.0 + premium) * request.sla.price_multiplier();
            assert!((request.payment - payment).abs() < 1e-9, "{request:?}");
            assert!((app.delay_s[0]..=app.delay_s[1]).contains(&request.delay_s), "{request:?}");
            let (least, most) = &mut ends[app.load as usize];
            (*least, *most) = ((*least).min(request.instances), (*most).max(request.instances));
        }
        assert_eq!(ends[LoadClass::High as usize], (2, 9));
        assert_eq!(ends[LoadClass::Low as usize], (1, 2));
        // Nine applications and three statistics, uniformly; four standard errors.
        for app in catalogue.apps() {
            assert!((share(&instance, |r| r.app == app.id) - 1.0 / 9.0).abs() < 0.02, "{}", app.id);
        }
        for sla in Sla::ALL {
            assert!((share(&instance, |r| r.sla == sla) - 1.0 / 3.0).abs() < 0.03);
        }
    }

    #[test]
    fn scenarios_differ_by_their_share_of_real_time_requests() {
        for (scenario, expected) in [(Scenario::Patient, 0.4), (Scenario::RealTime, 0.9)] {
            let instance = drawn(scenario);
            let is_real_time = |request: &Request| REAL_TIME.contains(&request.app.as_str());
            assert!((share(&instance, is_real_time) - expected).abs() < 0.031, "{scenario}");
            for request in &instance.requests {
                let instances = if is_real_time(request) { 2..=9 } else { 1..=3 };
                assert!(instances.contains(&request.instances) && (request.rate - 1.0).abs() < 1e-12, "{request:?}");
                assert!(is_real_time(request) || (3.0..=5.0).contains(&request.delay_s), "{request:?}");
            }
        }
    }

    #[test]
    fn an_instance_is_its_seed_s() {
        let catalogue = Catalogue::built_in();
        let of = |seed| draw(&ScenarioParams::new(Scenario::Mixed, 2, seed), &catalogue).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let text = serde_json::to_string(&of(1)).unwrap();
        assert_eq!(Instance::from_json(&text).unwrap(), of(1));
    }

    #[test]
    fn bad_parameters_are_named() {
        let refused = |change: fn(&mut ScenarioParams), word: &str| {
            let mut params = ScenarioParams::new(Scenario::Patient, 2, 1);
            change(&mut params);
            let message = draw(&params, &Catalogue::built_in()).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        refused(|p| p.servers = 0, "servers");
        refused(|p| p.kinds.clear(), "kinds");
        refused(|p| p.tightness = 0.0, "tightness");
        refused(|p| p.memory_gb = -1.0, "memory_gb");
        assert!("s4".parse::<Scenario>().unwrap_err().to_string().contains("s1, s2 or s3"));
    }
}
