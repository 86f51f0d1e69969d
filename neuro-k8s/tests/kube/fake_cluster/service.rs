//! A pod's service: it sleeps for as long as an inference takes, one at a time, and tells of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub struct PodService {
    pub app: String,
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    service_s: Mutex<f64>,
    times: Mutex<Vec<f64>>,
    busy: tokio::sync::Mutex<()>,
}

impl PodService {
    pub async fn start(address: &str, port: u16, app: String, service_s: f64) -> Self {
        let (service_s, times) = (Mutex::new(service_s), Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { service_s, times, busy: tokio::sync::Mutex::new(()) });
        let listener = tokio::net::TcpListener::bind((address, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/healthz", get(|| async { Json(json!({"status": "ready"})) }))
            .route("/request-static", post(infer))
            .route("/service-times", get(service_times))
            .route("/counters", get(counters))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { app, address, shared, serving }
    }

    pub fn set_service_s(&self, service_s: f64) {
        *self.shared.service_s.lock().unwrap() = service_s;
        self.shared.times.lock().unwrap().clear();
    }
}

impl Drop for PodService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn infer(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let arrived = Instant::now();
    let _busy = shared.busy.lock().await;
    let started = Instant::now();
    let service_s = *shared.service_s.lock().unwrap();
    tokio::time::sleep(Duration::from_secs_f64(service_s)).await;
    let took_s = started.elapsed().as_secs_f64();
    shared.times.lock().unwrap().push(took_s);
    Json(json!({"service_s": took_s, "queueing_s": (started - arrived).as_secs_f64(), "queue_len": 0}))
}

async fn service_times(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"service_times": *shared.times.lock().unwrap()}))
}

async fn counters(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let busy_ns = shared.times.lock().unwrap().iter().sum::<f64>() * 1e9;
    Json(json!({
        "events": [{"event": "cpu-clock", "count": busy_ns as u64, "enabled_ns": 1, "running_ns": 1},
            {"event": "page-faults", "count": 10, "enabled_ns": null, "running_ns": null}],
        "memory": {"peak_bytes": 50_000_000, "limit_bytes": null},
    }))
}
