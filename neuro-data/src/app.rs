//! Applications: what an inference service is to an experiment and to an optimiser.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How heavily an application is loaded when tenants are drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadClass {
    /// 1–5 req/s and 1–3 instances per tenant.
    Low,
    /// 20–100 req/s and 2–10 instances per tenant.
    High,
}

/// One inference service, as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Short unique name, such as `kalman-gru`.
    pub id: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Program and arguments that start one replica. `{id}`, `{host}`, `{port}`, `{batch}`, `{threads}` and `{seed}` are
    /// filled in. The built-in services leave it out and are started as [`Application::BUILT_IN_COMMAND`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Container image of the service, where it is not the project's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Port the service listens on in a container.
    pub port: u16,
    /// Items per inference.
    pub batch: u32,
    /// Working set of one instance, GB (10^9 bytes).
    pub memory_gb: f64,
    /// Rough time of one inference on one quiet core, seconds. Loads that nobody sets are chosen by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_s: Option<f64>,
    /// Base price of a request for this service.
    pub price: f64,
    /// Range from which latency bounds are drawn: lowest and highest, seconds.
    pub delay_s: [f64; 2],
    /// Load ranges when tenants are drawn at random.
    pub load: LoadClass,
}

impl Application {
    /// How a replica is started when an entry has no `command`.
    pub const BUILT_IN_COMMAND: [&'static str; 14] = [
        "neuro-app",
        "--app",
        "{id}",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--batch",
        "{batch}",
        "--threads",
        "{threads}",
        "--seed",
        "{seed}",
        "--exit-with-parent",
    ];

    /// Memory limit of one replica: `memory_gb` × 1.2, rounded to 0.1 GB and at least that.
    pub fn memory_limit_gb(&self) -> f64 {
        (self.memory_gb * 12.0).round().max(1.0) / 10.0
    }

    /// The rate at which one replica alone is busy three tenths of the time, at most 40 requests per second. Where `service_s` is not
    /// known: 40 in the high load class, 1 in the low one.
    pub fn light_rate(&self) -> f64 {
        const BUSY: f64 = 0.3;
        const LIMIT: f64 = 40.0;
        match (self.service_s, self.load) {
            (Some(service_s), _) => (BUSY / service_s).min(LIMIT),
            (None, LoadClass::High) => LIMIT,
            (None, LoadClass::Low) => 1.0,
        }
    }

    /// The command of one replica, its placeholders still in.
    pub fn command_template(&self) -> Vec<String> {
        self.command.clone().unwrap_or_else(|| Self::BUILT_IN_COMMAND.map(String::from).to_vec())
    }

    fn validate(&self) -> Result<()> {
        let field = |name: &str| format!("app {:?}: {name}", self.id);
        let usable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || self.id.len() > 40 || !self.id.chars().all(usable) {
            return Err(Error::invalid("app id", &self.id, "1 to 40 of a-z, 0-9 and '-' (it becomes a DNS label)"));
        }
        if self.batch == 0 {
            return Err(Error::invalid(field("batch"), self.batch, "at least 1"));
        }
        if !(self.memory_gb.is_finite() && self.memory_gb > 0.0) {
            return Err(Error::invalid(field("memory_gb"), self.memory_gb, "a positive number of GB"));
        }
        if self.service_s.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
            return Err(Error::invalid(
                field("service_s"),
                self.service_s.unwrap_or_default(),
                "a positive number of seconds",
            ));
        }
        if !(self.price.is_finite() && self.price >= 0.0) {
            return Err(Error::invalid(field("price"), self.price, "zero or more"));
        }
        let [low, high] = self.delay_s;
        if !(low.is_finite() && high.is_finite() && low > 0.0 && low <= high) {
            return Err(Error::invalid(field("delay_s"), format!("[{low}, {high}]"), "0 < lowest <= highest, seconds"));
        }
        if self.command.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid(field("command"), "[]", "a program and its arguments"));
        }
        Ok(())
    }
}

/// The applications that an experiment may use, in a fixed order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename = "app", default)]
    apps: Vec<Application>,
}

impl Catalogue {
    /// The nine services of the NeuRO study.
    #[expect(clippy::expect_used, reason = "the text is part of this crate and a test reads it")]
    pub fn built_in() -> Self {
        toml::from_str(include_str!("catalogue.toml")).expect("the built-in catalogue is valid")
    }

    /// Adds the applications of a TOML text of `[[app]]` entries; one with a known id replaces it.
    ///
    /// # Errors
    /// The text is not TOML of that form, names one id twice, or a value is out of range.
    ///
    /// # Example
    /// ```
    /// let text = r#"
    ///     [[app]]
    ///     id = "my-service"
    ///     command = ["python3", "service.py", "--port", "{port}"]
    ///     port = 8000
    ///     batch = 1
    ///     memory_gb = 0.2
    ///     price = 1
    ///     delay_s = [0.1, 0.5]
    ///     load = "low"
    /// "#;
    /// let catalogue = neuro_data::Catalogue::built_in().extended(text)?;
    /// assert_eq!(catalogue.get("my-service")?.memory_limit_gb(), 0.2);
    /// # Ok::<(), neuro_data::Error>(())
    /// ```
    pub fn extended(mut self, text: &str) -> Result<Self> {
        let added: Self = toml::from_str(text).map_err(|e| Error::malformed("catalogue", e))?;
        for (i, app) in added.apps.iter().enumerate() {
            app.validate()?;
            if added.apps[..i].iter().any(|other| other.id == app.id) {
                return Err(Error::invalid("app id", &app.id, "an id that stands once in the file"));
            }
        }
        for app in added.apps {
            match self.apps.iter_mut().find(|known| known.id == app.id) {
                Some(known) => *known = app,
                None => self.apps.push(app),
            }
        }
        Ok(self)
    }

    /// The application of that id.
    ///
    /// # Errors
    /// [`Error::UnknownApp`], which lists the known ones.
    pub fn get(&self, id: &str) -> Result<&Application> {
        self.apps.iter().find(|app| app.id == id).ok_or_else(|| Error::UnknownApp {
            id: id.to_owned(),
            known: self.apps.iter().map(|app| app.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// All applications in order.
    pub fn apps(&self) -> &[Application] {
        &self.apps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_the_study_s() {
        let catalogue = Catalogue::built_in();
        assert_eq!(catalogue.apps().len(), 9);
        for app in catalogue.apps() {
            app.validate().unwrap();
        }
        let ports: Vec<u16> = catalogue.apps().iter().map(|a| a.port).collect();
        assert_eq!(ports, (8000..8009).collect::<Vec<_>>());
        let lstm = catalogue.get("tstr-lstm").unwrap();
        assert_eq!((lstm.batch, lstm.price, lstm.load), (16, 5.0, LoadClass::High));
        // 1.3 GB x 1.2 = 1.56 GB
        assert_eq!(catalogue.get("iclf-efnet").unwrap().memory_limit_gb(), 1.6);
        assert_eq!(catalogue.get("tclf-rf").unwrap().memory_limit_gb(), 0.4);
    }

    #[test]
    fn a_light_load_keeps_a_replica_busy_three_tenths_of_the_time() {
        let mut app = Catalogue::built_in().get("text-bert").unwrap().clone();
        app.service_s = Some(0.5);
        assert_eq!(app.light_rate(), 0.6);
        app.service_s = Some(0.001);
        assert_eq!(app.light_rate(), 40.0);
        app.service_s = None;
        assert_eq!(app.light_rate(), 1.0);
        app.load = LoadClass::High;
        assert_eq!(app.light_rate(), 40.0);
    }

    #[test]
    fn an_unknown_application_is_named_beside_the_known() {
        let message = Catalogue::built_in().get("tclf-fr").unwrap_err().to_string();
        assert!(message.contains("tclf-fr") && message.contains("tclf-rf"), "{message}");
    }

    #[test]
    fn bad_entries_are_refused_with_their_field() {
        let entry = |changed: &str| {
            let mut text = String::from("[[app]]\n");
            for line in [
                "id = \"x\"",
                "port = 1",
                "batch = 1",
                "memory_gb = 1",
                "price = 1",
                "delay_s = [1, 2]",
                "load = \"low\"",
            ] {
                let key = line.split(' ').next().unwrap_or_default();
                text += if changed.starts_with(key) { changed } else { line };
                text += "\n";
            }
            Catalogue::built_in().extended(&text)
        };
        assert_eq!(entry("").unwrap().apps().len(), 10);
        for (changed, word) in [
            ("batch = 0", "batch"),
            ("memory_gb = -1", "memory_gb"),
            ("memory_gb = nan", "memory_gb"),
            ("delay_s = [2, 1]", "delay_s"),
            ("price = -1", "price"),
            ("price = 1\nservice_s = 0", "service_s"),
            ("id = \"a/b\"", "id"),
            ("load = \"medium\"", "load"),
            ("load = \"low\"\ncommand = []", "command"),
            ("load = \"low\"\nmemory = 1", "memory"),
        ] {
            let message = entry(changed).unwrap_err().to_string();
            assert!(message.contains(word), "{changed}: {message}");
        }
        let twice =
            "[[app]]\nid = \"x\"\nport = 1\nbatch = 1\nmemory_gb = 1\nprice = 1\ndelay_s = [1, 2]\nload = \"low\"\n";
        assert!(Catalogue::built_in().extended(&twice.repeat(2)).is_err());
    }

    #[test]
    fn an_entry_of_a_known_id_replaces_it() {
        let text = "[[app]]\nid = \"tclf-rf\"\nport = 1\nbatch = 2\nmemory_gb = 1\nprice = 1\ndelay_s = [1, 2]\nload = \"low\"\n";
        let catalogue = Catalogue::built_in().extended(text).unwrap();
        assert_eq!(catalogue.apps().len(), 9);
        assert_eq!(catalogue.get("tclf-rf").unwrap().batch, 2);
    }
}
