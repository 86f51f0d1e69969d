//! The binary, over real sockets: the HTTP contract, its errors, and the life of the process.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside #[test] functions

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough for any start-up on any machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running service, killed when dropped.
struct Service {
    child: Child,
    input: Option<ChildStdin>,
    address: SocketAddr,
    announced: Value,
}

impl Service {
    /// Starts a service on a free port; does not wait for readiness.
    fn spawn(arguments: &[&str]) -> Self {
        let mut child =
            neuro_app(arguments).args(["--port", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let announced: Value = serde_json::from_str(&line).unwrap();
        Self {
            input: child.stdin.take(),
            child,
            address: announced["listening"].as_str().unwrap().parse().unwrap(),
            announced,
        }
    }

    fn ready(arguments: &[&str]) -> Self {
        let service = Self::spawn(arguments);
        let deadline = Instant::now() + PATIENCE;
        while service.get("/healthz").status != 200 {
            assert!(Instant::now() < deadline, "never ready");
            thread::sleep(Duration::from_millis(5));
        }
        service
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Response {
        let mut stream = self.send(method, path, body);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Response::parse(&text)
    }

    /// Sends a request without waiting for its answer.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> Response {
        self.call("GET", path, "")
    }

    fn infer(&self, body: &str) -> Response {
        self.call("POST", "/request-static", body)
    }

    /// The samples of the metrics page, by name with labels.
    fn metrics(&self) -> HashMap<String, f64> {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200);
        assert!(page.head.contains("text/plain; version=0.0.4"));
        let samples = page.body.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    fn outcomes(&self, outcome: &str) -> f64 {
        self.metrics()[&format!("neuro_app_requests_total{{outcome=\"{outcome}\"}}")]
    }

    fn await_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "never ended");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn neuro_app(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuro-app"));
    command.args(arguments);
    command
}

fn seconds(answer: &Value, field: &str) -> f64 {
    answer[field].as_f64().unwrap()
}

#[test]
fn an_inference_is_answered_with_output_and_times() {
    let service = Service::ready(&["--app", "kalman-gru", "--seed", "5"]);
    let answer = service.infer("");
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["output"].as_array().unwrap().len(), 16);
    assert_eq!((&answer["seq"], &answer["queue_len"]), (&json!(0), &json!(0)));
    let [arrival, start, end] = ["arrival_s", "start_s", "end_s"].map(|field| seconds(&answer, field));
    assert!(arrival <= start && start < end);
    // Reading a float from JSON may miss its last digit.
    assert!((seconds(&answer, "queueing_s") - (start - arrival)).abs() < 1e-6);
    assert!((seconds(&answer, "service_s") - (end - start)).abs() < 1e-6);
    assert!(end <= neuro_apps::clock::monotonic_s() && arrival > end - PATIENCE.as_secs_f64());
    assert_eq!(answer["clock"], json!(neuro_apps::clock::clock_id()));

    let three = service.infer(r#"{"batch_size": 3}"#).json();
    assert_eq!(three["output"].as_array().unwrap().len(), 3);
    assert_eq!(service.infer("{}").json()["output"], answer["output"], "same seed, same output");

    // Another process with the same seed answers the same; the command line sets the default batch.
    let other = Service::ready(&["--app", "kalman-gru", "--seed", "5", "--batch", "3"]);
    assert_eq!(other.infer("").json()["output"], three["output"]);
    assert_ne!(other.announced["uid"], service.announced["uid"]);
}

#[test]
fn every_application_serves() {
    for app in neuro_apps::registry::Registry::built_in().apps() {
        let service = Service::ready(&["--app", app.id]);
        assert_eq!(service.announced["app"], app.id);
        let health = service.get("/healthz").json();
        assert_eq!((&health["status"], &health["app"]), (&json!("ready"), &json!(app.id)));
        assert_eq!((&health["threads"], &health["batch"]), (&json!(1), &json!(app.default_batch)));
        assert_eq!(health["uid"], service.announced["uid"]);
        assert!(seconds(&health, "startup_s") > 0.0);
        let output = service.infer("").json()["output"].clone();
        assert_eq!(output.as_array().unwrap().len(), app.default_batch);
        assert!(output.as_array().unwrap().iter().all(Value::is_number), "{output}");
    }
}

#[test]
fn the_number_of_compute_threads_is_the_one_asked_for() {
    let service = Service::ready(&["--app", "kalman-gru", "--threads", "2"]);
    assert_eq!(service.get("/healthz").json()["threads"], 2);
}

#[test]
fn bad_requests_are_explained_and_the_server_lives_on() {
    let service = Service::ready(&["--app", "kalman-gru"]);
    let bodies = [
        "{",
        "nonsense",
        "[1]",
        r#"{"batch": 1}"#,
        r#"{"batch_size": 0}"#,
        r#"{"batch_size": -4}"#,
        r#"{"batch_size": 2.5}"#,
        r#"{"batch_size": "16"}"#,
        r#"{"batch_size": 1025}"#,
        r#"{"batch_size": 99999999999999999999999999}"#,
        "\u{0}",
    ];
    for body in bodies {
        let answer = service.infer(body);
        assert_eq!(answer.status, 400, "{body}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("1 to 1024"), "{body}: {error}");
    }
    let large = service.infer(&" ".repeat(64 * 1024 + 1));
    assert_eq!(large.status, 413);
    assert!(large.json()["error"].as_str().unwrap().contains("65536"));
    assert_eq!(service.infer(&" ".repeat(64 * 1024)).status, 200);

    let missing = service.get("/nothing");
    assert_eq!(missing.status, 404);
    assert!(missing.json()["error"].as_str().unwrap().contains("/nothing"));
    for (method, path) in [("GET", "/request-static"), ("GET", "/flush"), ("POST", "/healthz"), ("DELETE", "/metrics")]
    {
        let answer = service.call(method, path, "");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.json()["error"].as_str().unwrap().contains(method));
    }
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.write_all(b"this is not HTTP\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");

    assert_eq!(service.infer("").status, 200);
    assert_eq!(service.outcomes("invalid"), bodies.len() as f64 + 1.0);
    assert_eq!(service.outcomes("completed"), 2.0);
}

#[test]
fn concurrent_requests_are_served_one_at_a_time_in_order_of_arrival() {
    let service = Service::ready(&["--app", "tclf-rf"]);
    let answers: Vec<Value> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..10).map(|_| service.infer("").json()).collect::<Vec<_>>())).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let mut answers = answers;
    answers.sort_by_key(|answer| answer["seq"].as_u64());
    let seqs: Vec<u64> = answers.iter().map(|answer| answer["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..80).collect::<Vec<u64>>());
    for pair in answers.windows(2) {
        assert!(seconds(&pair[1], "arrival_s") >= seconds(&pair[0], "arrival_s"));
        assert!(seconds(&pair[1], "start_s") >= seconds(&pair[0], "end_s"));
    }
    for (position, answer) in answers.iter().enumerate() {
        // On arrival those are there that arrived before and have not ended.
        let arrival = seconds(answer, "arrival_s");
        let earlier = &answers[..position];
        let there = earlier.iter().filter(|other| seconds(other, "end_s") > arrival).count();
        assert!(answer["queue_len"].as_u64().unwrap() as usize >= there);
    }

    let times = service.get("/service-times").json();
    let column = |name: &str| times[name].as_array().unwrap().clone();
    for name in
        ["service_times", "arrival_times", "departure_times", "interarrival_times", "queueing_times", "queue_lens"]
    {
        assert_eq!(column(name).len(), 80, "{name}");
    }
    assert_eq!(times["uid"], service.announced["uid"]);
    assert_eq!(times["dropped_records"], 0);
    assert_eq!(column("interarrival_times")[0], Value::Null);
    for (position, answer) in answers.iter().enumerate() {
        assert_eq!(column("service_times")[position], answer["service_s"]);
        assert_eq!(column("queueing_times")[position], answer["queueing_s"]);
        assert_eq!(column("arrival_times")[position], answer["arrival_s"]);
        assert_eq!(column("departure_times")[position], answer["end_s"]);
        assert_eq!(column("queue_lens")[position], answer["queue_len"]);
    }

    assert_eq!(service.call("POST", "/flush", "").json(), json!({"flushed": 80}));
    assert_eq!(service.get("/service-times").json()["queue_lens"], json!([]));

    // It served 80 inferences and knows what they cost.
    let account = service.get("/counters").json();
    assert_eq!(account["uid"], service.announced["uid"]);
    let event = |name: &str| {
        let events = account["events"].as_array().unwrap();
        events.iter().find(|event| event["event"] == name).unwrap()["count"].clone()
    };
    let served_s: f64 = answers.iter().map(|answer| seconds(answer, "service_s")).sum();
    assert!(event("cpu-clock").as_f64().unwrap() > 0.1e9 * served_s);
    assert!(event("page-faults").as_u64().unwrap() > 0 && account["memory"]["peak_bytes"].as_u64().unwrap() > 1_000_000);

    let metrics = service.metrics();
    assert_eq!(metrics["neuro_app_ready"], 1.0);
    assert_eq!(metrics["neuro_app_queue_length"], 0.0);
    assert_eq!(metrics["neuro_app_service_seconds_count"], 80.0);
    assert_eq!(metrics["neuro_app_service_seconds_bucket{le=\"+Inf\"}"], 80.0);
    let sum: f64 = answers.iter().map(|answer| seconds(answer, "service_s")).sum();
    assert!((metrics["neuro_app_service_seconds_sum"] / sum - 1.0).abs() < 1e-6);
}

#[test]
fn a_waiting_request_whose_client_has_gone_is_withdrawn() {
    let service = Service::ready(&["--app", "tstr-lstm"]);
    // The first keeps the replica busy while the second waits and leaves; then the third comes.
    let mut busy = service.send("POST", "/request-static", r#"{"batch_size": 256}"#);
    while service.metrics()["neuro_app_queue_length"] < 1.0 {}
    let leaving = service.send("POST", "/request-static", "");
    while service.metrics()["neuro_app_queue_length"] < 2.0 {}
    drop(leaving);
    while service.outcomes("cancelled") < 1.0 {}
    assert_eq!(service.infer(r#"{"batch_size": 1}"#).status, 200);
    let mut text = String::new();
    busy.read_to_string(&mut text).unwrap();
    assert_eq!(Response::parse(&text).status, 200);
    assert_eq!(service.outcomes("completed"), 2.0);
}

#[test]
fn while_starting_health_is_503_and_requests_are_refused() {
    // The warm-up inference of the largest batch takes long enough to be seen.
    let service = Service::spawn(&["--app", "tstr-lstm", "--batch", "256"]);
    let health = service.get("/healthz");
    assert_eq!((health.status, health.json()), (503, json!({"status": "starting"})));
    let refused = service.infer("");
    assert_eq!(refused.status, 503);
    assert!(refused.json()["error"].as_str().unwrap().contains("starting"));
    assert_eq!(service.metrics()["neuro_app_ready"], 0.0);
    let deadline = Instant::now() + PATIENCE;
    while service.get("/healthz").status != 200 {
        assert!(Instant::now() < deadline, "never ready");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(service.metrics()["neuro_app_ready"], 1.0);
    assert_eq!(service.outcomes("early"), 1.0);
}

#[test]
fn bad_usage_ends_with_code_2_and_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, reason) in [
        (vec!["--app", "tclf-xyz", "--port", "0"], "kalman-gru, tclf-gcn, tclf-rf, text-bert, text-tbert, tstr-lstm"),
        (vec!["--app", "kalman-gru", "--port", "0", "--batch", "0"], "1 to 1024"),
        (vec!["--app", "kalman-gru", "--port", "0", "--batch", "1025"], "1 to 1024"),
        (vec!["--app", "kalman-gru", "--port", "0", "--threads", "0"], "at least 1"),
        (vec!["--app", "kalman-gru", "--port", &port], "cannot listen on 127.0.0.1:"),
        (vec!["--app", "kalman-gru"], "--port"),
        (vec!["--app", "kalman-gru", "--port", "70000"], "70000"),
    ] {
        let output = neuro_app(&arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(reason), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
    }
}

/// A checkpoint with one tensor too few and one too many, and the way there and back through `infer`.
#[test]
fn a_checkpoint_is_checked_and_served() {
    use candle_core::{DType, Device, Tensor, safetensors};
    use neuro_apps::registry::Registry;

    let folder = std::env::temp_dir().join(format!("neuro-apps-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let variables = candle_nn::VarMap::new();
    let app = Registry::built_in().find("tstr-lstm").unwrap();
    let vb = candle_nn::VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let model = (app.model)(vb, 0).unwrap();
    variables.save(at("weights")).unwrap();

    // What `infer` writes is what the model says in this process.
    let input = model.example(7, 3).unwrap();
    safetensors::save(&input.clone().into_iter().collect(), at("input")).unwrap();
    let infer = |weights: &str, input: &str| {
        let (weights, input, output) = (at(weights), at(input), at("output"));
        let arguments = ["infer", "--app", "tstr-lstm", "--weights", &weights, "--input", &input, "--output", &output];
        let output = neuro_app(&arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(infer("weights", "input"), (Some(0), String::new()));
    let found = safetensors::load(at("output"), &Device::Cpu).unwrap().remove("output").unwrap();
    let expected = model.forward(&input).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.to_vec1::<f32>().unwrap(), expected);

    // The service answers with the same weights.
    let service = Service::ready(&["--app", "tstr-lstm", "--weights", &at("weights"), "--seed", "7", "--batch", "3"]);
    let answer = service.infer("").json();
    for (answered, expected) in answer["output"].as_array().unwrap().iter().zip(&expected) {
        assert!((answered.as_f64().unwrap() - f64::from(*expected)).abs() < 1e-6, "{answer}");
    }

    let mut tensors = safetensors::load(at("weights"), &Device::Cpu).unwrap();
    let bias = tensors.remove("dense.2.bias").unwrap();
    tensors.insert("dense.3.bias".to_owned(), bias);
    safetensors::save(&tensors, at("other")).unwrap();
    let (code, message) = infer("other", "input");
    assert_eq!(code, Some(2));
    assert!(message.contains("missing: dense.2.bias; unexpected: dense.3.bias"), "{message}");

    let series = Tensor::zeros((784, 1), DType::F32, &Device::Cpu).unwrap();
    for (name, tensor, reason) in [("serie", &series, "`serie`"), ("series", &series, "shape [784, 1]")] {
        safetensors::save(&[(name.to_owned(), tensor.clone())].into(), at("wrong")).unwrap();
        let (code, message) = infer("weights", "wrong");
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(reason) && message.contains("`series` [784, 1, 100]"), "{message}");
    }
    let (code, message) = infer("weights", "nowhere");
    assert_eq!(code, Some(2));
    assert!(message.contains("nowhere"), "{message}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_process_ends_when_it_is_asked_to() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut service = Service::ready(&["--app", "kalman-gru"]);
        let pid = rustix::process::Pid::from_child(&service.child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(service.await_exit().code(), Some(0));
    }
}

#[test]
fn the_process_ends_with_its_input_if_told_so() {
    let mut service = Service::ready(&["--app", "kalman-gru", "--exit-with-parent"]);
    assert_eq!(service.child.try_wait().unwrap(), None);
    drop(service.input.take());
    assert_eq!(service.await_exit().code(), Some(0));

    // Without being told, it stays.
    let mut service = Service::ready(&["--app", "kalman-gru"]);
    drop(service.input.take());
    assert_eq!(service.infer("").status, 200);
    assert_eq!(service.child.try_wait().unwrap(), None);
}
