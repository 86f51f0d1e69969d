//! Asking a service whether it is ready, and for inferences before any load.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::load::REQUEST_PATH;
use crate::{Endpoint, Error, Result};

/// Path that readiness is asked for at.
pub const HEALTH_PATH: &str = "/healthz";

/// What a service says of its readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers with success.
    Ready,
    /// It answers otherwise.
    Answers(StatusCode),
    /// It does not answer.
    Silent,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => write!(f, "ready"),
            Self::Answers(status) => write!(f, "{HEALTH_PATH} answers {status}"),
            Self::Silent => write!(f, "nothing answers at {HEALTH_PATH}"),
        }
    }
}

/// One request with an answer within ten seconds.
pub(crate) async fn exchange(method: Method, authority: &str, path: &str, body: String) -> Option<(StatusCode, Bytes)> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{authority}{path}");
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(body))).ok()?;
    let exchange = async {
        let response = client.request(request).await.ok()?;
        let status = response.status();
        Some((status, response.into_body().collect().await.ok()?.to_bytes()))
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.ok()?
}

/// Asks for readiness once.
pub async fn probe(authority: &str) -> Health {
    match exchange(Method::GET, authority, HEALTH_PATH, String::new()).await {
        Some((status, _)) if status.is_success() => Health::Ready,
        Some((status, _)) => Health::Answers(status),
        None => Health::Silent,
    }
}

/// Asks each replica for `inferences` inferences, one after another, all replicas at once.
///
/// # Errors
/// A replica does not answer, or answers without success.
pub(crate) async fn warm_up(endpoints: &[Endpoint], inferences: u32, deadline: Duration) -> Result<()> {
    let mut replicas = tokio::task::JoinSet::new();
    for endpoint in endpoints.iter().cloned() {
        replicas.spawn(async move {
            for _ in 0..inferences {
                let body = format!("{{\"batch_size\":{}}}", endpoint.batch);
                match exchange(Method::POST, &endpoint.authority, REQUEST_PATH, body).await {
                    Some((status, _)) if status.is_success() => {}
                    Some((status, body)) => {
                        let said = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
                        return Err(Error::WarmUp(format!("{} answers {status}: {said}", endpoint.authority)));
                    }
                    None => {
                        return Err(Error::WarmUp(format!("{} does not answer", endpoint.authority)));
                    }
                }
            }
            Ok(())
        });
    }
    let all = async {
        while let Some(result) = replicas.join_next().await {
            result.map_err(|e| Error::WarmUp(e.to_string()))??;
        }
        Ok(())
    };
    let late = |_| Error::WarmUp(format!("it takes longer than {:.0} s", deadline.as_secs_f64()));
    tokio::time::timeout(deadline, all).await.map_err(late)?
}
