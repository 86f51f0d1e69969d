//! The prototype's `tenant_requests.json`: who ran.

use std::path::Path;

use serde::Deserialize;

use super::problem::Problem;
use crate::{Catalogue, Error, Result, Tenant};

/// The tenants of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRequests {
    /// In the order of the file.
    pub tenants: Vec<PrototypeTenant>,
    /// The whole file as it is, for what is not read of it.
    pub json: String,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PrototypeTenant {
    /// Who it is.
    pub tenant: Tenant,
    /// Process ids of its replicas, in order; none where the file does not tell.
    pub pids: Vec<u64>,
}

#[derive(Deserialize)]
struct RawRequests {
    tenant_requests: Vec<RawRequest>,
}

#[derive(Deserialize)]
struct RawRequest {
    id: Name,
    application: String,
    arrival_rate: f64,
    num_instances: u32,
    #[serde(default)]
    pids: Vec<u64>,
}

/// A name that may be written as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Number(i64),
    Text(String),
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// [`Error::Problem`] where it is malformed, a figure is out of range, an id stands twice (nobody knows whose times its file
/// holds) or an application is not in the catalogue.
///
/// # Example
/// ```
/// use neuro_data::Catalogue;
/// use neuro_data::ingest::prototype_requests::read;
///
/// let text = br#"{"tenant_requests": [{"id": 3, "application": "tclf-rf", "arrival_rate": 5, "num_instances": 2}]}"#;
/// let requests = read(text, "tenant_requests.json".as_ref(), &Catalogue::built_in())?;
/// assert_eq!((requests.tenants[0].tenant.id.as_str(), requests.tenants[0].tenant.rate), ("3", 5.0));
/// # Ok::<(), neuro_data::Error>(())
/// ```
pub fn read(text: &[u8], path: &Path, catalogue: &Catalogue) -> Result<TenantRequests> {
    let left_out = |reason: Error| Error::Problem(Problem::of_file(path, format!("{reason}; the run is left out")));
    let malformed = |e: serde_json::Error| {
        let (line, column) = (e.line().max(1) as u64, e.column().max(1) as u64);
        Error::Problem(Problem::at(path, line, column, format!("{e}; the run is left out")))
    };
    let raw: RawRequests = serde_json::from_slice(text).map_err(malformed)?;
    let mut tenants = Vec::with_capacity(raw.tenant_requests.len());
    for request in raw.tenant_requests {
        let id = match request.id {
            Name::Number(number) => number.to_string(),
            Name::Text(text) => text,
        };
        catalogue.get(&request.application).map_err(left_out)?;
        let (app, instances, rate) = (request.application, request.num_instances, request.arrival_rate);
        tenants.push(PrototypeTenant { tenant: Tenant { id, app, instances, rate }, pids: request.pids });
    }
    let plain: Vec<Tenant> = tenants.iter().map(|known| known.tenant.clone()).collect();
    Tenant::validate_all(&plain).map_err(left_out)?;
    Ok(TenantRequests { tenants, json: String::from_utf8_lossy(text).into_owned() })
}
