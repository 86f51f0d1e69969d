//! Instances: which requests ask for admission, and which servers there are. An optimisation problem, without its profiler.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Sla};

/// An edge server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Unique name.
    pub name: String,
    /// Kind of hardware; servers of a kind share a profiler.
    pub kind: String,
    /// Memory for tenants, GB.
    pub memory_gb: f64,
}

/// A tenant that asks to be served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Unique id.
    pub id: String,
    /// Application.
    pub app: String,
    /// Replicas to place; all of them or none.
    pub instances: u32,
    /// Arrival rate per replica, requests per second.
    pub rate: f64,
    /// Revenue when it is served.
    pub payment: f64,
    /// Latency bound on the promised statistic, seconds.
    pub delay_s: f64,
    /// The statistic that is promised.
    pub sla: Sla,
}

/// An optimisation problem.
///
/// # Example
/// ```
/// let text = r#"{
///   "servers": [{"name": "edge-1", "kind": "edge-a", "memory_gb": 32}],
///   "requests": [{"id": "r1", "app": "kalman-gru", "instances": 2, "rate": 20, "payment": 3.5, "delay_s": 0.01, "sla": "p95"}]
/// }"#;
/// let instance = neuro_data::instance::Instance::from_json(text)?;
/// assert_eq!(instance.requests[0].instances, 2);
/// # Ok::<(), neuro_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The servers.
    pub servers: Vec<Server>,
    /// The requests.
    pub requests: Vec<Request>,
}

impl Instance {
    /// Reads and checks an instance.
    ///
    /// # Errors
    /// The text is not JSON of this form, or a field is out of range.
    pub fn from_json(text: &str) -> Result<Self> {
        let instance: Self = serde_json::from_str(text).map_err(|e| Error::malformed("instance", e))?;
        instance.validate()?;
        Ok(instance)
    }

    /// Checks every number and name.
    ///
    /// # Errors
    /// The first field that is out of range, by its place.
    pub fn validate(&self) -> Result<()> {
        let positive = |field: String, value: f64| {
            let fine = value.is_finite() && value > 0.0;
            if fine { Ok(()) } else { Err(Error::invalid(field, value, "a positive number")) }
        };
        for (i, server) in self.servers.iter().enumerate() {
            positive(format!("servers[{i}].memory_gb"), server.memory_gb)?;
            if self.servers[..i].iter().any(|other| other.name == server.name) {
                return Err(Error::invalid(format!("servers[{i}].name"), &server.name, "a name that stands once"));
            }
        }
        for (i, request) in self.requests.iter().enumerate() {
            let field = |name: &str| format!("requests[{i}].{name}");
            if self.requests[..i].iter().any(|other| other.id == request.id) {
                return Err(Error::invalid(field("id"), &request.id, "an id that stands once"));
            }
            if request.instances == 0 {
                return Err(Error::invalid(field("instances"), 0, "at least 1"));
            }
            positive(field("rate"), request.rate)?;
            positive(field("delay_s"), request.delay_s)?;
            if !(request.payment.is_finite() && request.payment >= 0.0) {
                return Err(Error::invalid(field("payment"), request.payment, "zero or more"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_instances_are_refused_by_the_place_of_the_fault() {
        let good = Instance {
            servers: vec![Server { name: "s".into(), kind: "k".into(), memory_gb: 32.0 }],
            requests: vec![Request {
                id: "r".into(),
                app: "a".into(),
                instances: 1,
                rate: 5.0,
                payment: 1.0,
                delay_s: 0.5,
                sla: Sla::P95,
            }],
        };
        good.validate().unwrap();
        let back = Instance::from_json(&serde_json::to_string(&good).unwrap()).unwrap();
        assert_eq!(back, good);
        let broken = |field: &str, change: fn(&mut Instance)| {
            let mut instance = good.clone();
            change(&mut instance);
            let message = instance.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field}: {message}");
        };
        broken("servers[0].memory_gb", |i| i.servers[0].memory_gb = f64::NAN);
        broken("servers[1].name", |i| i.servers.push(i.servers[0].clone()));
        broken("requests[0].instances", |i| i.requests[0].instances = 0);
        broken("requests[0].rate", |i| i.requests[0].rate = 0.0);
        broken("requests[0].payment", |i| i.requests[0].payment = -1.0);
        broken("requests[0].delay_s", |i| i.requests[0].delay_s = -1.0);
        broken("requests[1].id", |i| i.requests.push(i.requests[0].clone()));
        assert!(Instance::from_json(r#"{"servers":[],"requests":[],"x":1}"#).unwrap_err().to_string().contains('x'));
    }
}
