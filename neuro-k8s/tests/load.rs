//! The load generator against services that answer, hang, refuse and lie.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use neuro_data::{Phases, RequestStatus, RunKind, RunSpec, Tenant};
use neuro_k8s::load::{Load, LoadOutcome};
use neuro_k8s::schedule::arrivals;
use neuro_k8s::{Endpoint, Interrupt, clock_id, monotonic_s};

fn spec(rate: f64, drain_s: f64) -> RunSpec {
    RunSpec {
        kind: RunKind::Baseline,
        name: "load".into(),
        repeat: 0,
        seed: 5,
        threads: 1,
        phases: Phases { warmup_s: 0.1, duration_s: 0.4, drain_s, warmup_inferences: 0 },
        tenants: vec![Tenant { id: "t".into(), app: "a".into(), instances: 2, rate }],
        target: None,
    }
}

/// Serves `answer` at `/request-static` on a loopback port until the test's runtime ends.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn load(spec: &RunSpec, authorities: [&str; 2]) -> (Vec<f64>, LoadOutcome) {
    let schedule = arrivals(spec, "run");
    let endpoints: Vec<Endpoint> = authorities
        .iter()
        .zip(0..)
        .map(|(authority, replica)| Endpoint { tenant: 0, replica, authority: (*authority).to_owned(), batch: 16 })
        .collect();
    let start_s = monotonic_s() + 0.02;
    let load = Load::start(schedule.clone(), &endpoints, spec.phases, start_s, &Interrupt::new()).unwrap();
    let outcome = load.outcome().await.unwrap().unwrap();
    assert_eq!(outcome.sent.len(), schedule.len());
    (schedule.iter().map(|a| a.intended_s).collect(), outcome)
}

fn count(outcome: &LoadOutcome, status: RequestStatus) -> usize {
    outcome.sent.iter().filter(|s| s.status == status).count()
}

#[tokio::test]
async fn every_arrival_is_sent_when_due_and_answered_with_the_service_s_times() {
    let clock = clock_id().unwrap_or_default();
    let answer = move |body: String| {
        let clock = clock.clone();
        async move {
            assert_eq!(body, r#"{"batch_size":16}"#);
            let now = monotonic_s();
            format!(
                r#"{{"start_s":{now},"end_s":{},"service_s":0.001,"queueing_s":0.002,"queue_len":3,"clock":"{clock}"}}"#,
                now + 0.001
            )
        }
    };
    let address = serve(Router::new().route("/request-static", post(answer))).await;
    let spec = spec(100.0, 1.0);
    let (due, outcome) = load(&spec, [&address, &address]).await;
    assert!(due.len() > 50);
    for (due, sent) in due.iter().zip(&outcome.sent) {
        assert_eq!(sent.status, RequestStatus::Ok);
        let (sent_s, end_s) = (sent.sent_s.unwrap(), sent.client_end_s.unwrap());
        assert!(sent_s >= *due && end_s >= sent_s);
        assert_eq!(
            (sent.reply.service_s, sent.reply.queueing_s, sent.reply.queue_len),
            (Some(0.001), Some(0.002), Some(3))
        );
        if clock_id().is_some() {
            // On one clock the inference starts between sending and the complete answer.
            let start_s = sent.reply.start_s.unwrap();
            assert!(sent_s <= start_s && start_s <= end_s, "{sent_s} {start_s} {end_s}");
        }
    }
    let report = &outcome.report;
    assert!((report.requested_rate - due.len() as f64 / 0.5).abs() < 1e-9);
    assert!(report.cpu_s > 0.0 && report.in_flight_max >= 1 && report.dropped == 0, "{report:?}");
}

#[tokio::test]
async fn what_hangs_is_censored_and_does_not_hold_back_the_rest() {
    let hang = || async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    };
    let hanging = serve(Router::new().route("/request-static", post(hang))).await;
    let quick = serve(Router::new().route("/request-static", post(|| async { "{}" }))).await;
    let (due, outcome) = load(&spec(60.0, 0.2), [&hanging, &quick]).await;
    let schedule = arrivals(&spec(60.0, 0.2), "run");
    for (arrival, sent) in schedule.iter().zip(&outcome.sent) {
        let expected = if arrival.replica == 0 { RequestStatus::Censored } else { RequestStatus::Ok };
        assert_eq!(sent.status, expected);
        assert!(sent.sent_s.is_some(), "an open loop sends whatever is unanswered");
        // What the service did not say stays unknown.
        assert_eq!(sent.reply.service_s, None);
        assert_eq!(sent.client_end_s.is_none(), arrival.replica == 0);
    }
    let hung = count(&outcome, RequestStatus::Censored);
    assert!(hung > 10 && hung < due.len());
    assert!(outcome.report.in_flight_max >= hung as u64);
}

#[tokio::test]
async fn refusals_fail_and_lies_are_not_believed() {
    let refuse = || async { (StatusCode::SERVICE_UNAVAILABLE, "no") };
    let refusing = serve(Router::new().route("/request-static", post(refuse))).await;
    // Another host's clock, and a negative duration.
    let lie = || async { r#"{"start_s":1.0,"end_s":2.0,"service_s":-1.0,"clock":"elsewhere"}"# };
    let lying = serve(Router::new().route("/request-static", post(lie))).await;
    let (_, outcome) = load(&spec(60.0, 0.5), [&refusing, &lying]).await;
    let schedule = arrivals(&spec(60.0, 0.5), "run");
    for (arrival, sent) in schedule.iter().zip(&outcome.sent) {
        if arrival.replica == 0 {
            assert_eq!(sent.status, RequestStatus::Failed);
        } else {
            assert_eq!(sent.status, RequestStatus::Ok);
            assert_eq!((sent.reply.start_s, sent.reply.end_s, sent.reply.service_s), (None, None, None));
        }
    }
}

#[tokio::test]
async fn nobody_listening_fails_every_request() {
    let (_, outcome) = load(&spec(40.0, 0.5), ["127.0.0.1:1", "127.0.0.1:1"]).await;
    assert_eq!(count(&outcome, RequestStatus::Failed), outcome.sent.len());
}

#[tokio::test]
async fn a_load_that_is_given_up_ends_at_once() {
    let mut spec = spec(50.0, 30.0);
    spec.phases.duration_s = 3_600.0;
    let schedule = arrivals(&spec, "run");
    let endpoint = |replica| Endpoint { tenant: 0, replica, authority: "127.0.0.1:1".into(), batch: 1 };
    let interrupt = Interrupt::new();
    let endpoints = [endpoint(0), endpoint(1)];
    let load = Load::start(schedule, &endpoints, spec.phases, monotonic_s(), &interrupt).unwrap();
    interrupt.request();
    interrupt.request();
    assert_eq!(load.outcome().await.unwrap(), None);
}

#[tokio::test]
async fn an_arrival_without_a_replica_is_an_error() {
    let spec = spec(50.0, 1.0);
    let endpoint = Endpoint { tenant: 0, replica: 0, authority: "127.0.0.1:1".into(), batch: 1 };
    let error = Load::start(arrivals(&spec, "run"), &[endpoint], spec.phases, 0.0, &Interrupt::new()).unwrap_err();
    assert!(error.to_string().contains("replica 1"), "{error}");
}
