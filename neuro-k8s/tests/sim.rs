//! The simulated server against closed forms, against a plain simulation without virtual clocks, and against itself.
//!
//! Means over independent runs are held against exact values within their 99.9 % confidence intervals (Student's t); seeds are
//! fixed, so a test passes always or never.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use neuro_data::run_folder::{RunFolder, run_folders};
use neuro_data::store::{QuantileRow, TenantRow};
use neuro_data::{DataVerdict, Dataset, Phases, RequestRecord, RequestStatus, RunKind, RunSpec, Tenant, Tool};
use neuro_k8s::schedule::arrivals;
use neuro_k8s::sim::{
    Demand, Garbage, Inference, Keep, ServerKind, Service, SimCampaignParams, SimParams, SimulatedRun, simulate,
    simulate_campaign,
};
use neuro_k8s::{Error, Event, Interrupt};
use proptest::prelude::*;

/// Independent runs behind a mean.
const RUNS: u64 = 16;
/// 99.95 % point of Student's t with 15 degrees of freedom.
const STUDENT_T: f64 = 4.073;

fn params(cores: f64, services: Vec<Service>) -> SimParams {
    let kinds = vec![ServerKind { name: "k".into(), cores, speed: 1.0, bandwidth_gbs: 10.0, waiting_pressure: 1.0 }];
    let params = SimParams { kinds, services };
    params.validate().unwrap();
    params
}

fn spec(seed: u64, phases: Phases, tenants: &[(&str, u32, f64)]) -> RunSpec {
    let tenant = |(i, &(app, instances, rate)): (usize, &(&str, u32, f64))| Tenant {
        id: format!("t{i}"),
        app: app.into(),
        instances,
        rate,
    };
    let tenants = tenants.iter().enumerate().map(tenant).collect();
    RunSpec { kind: RunKind::Random, name: "s".into(), repeat: 0, seed, threads: 1, phases, tenants, target: None }
}

fn phases(warmup_s: f64, duration_s: f64, drain_s: f64) -> Phases {
    Phases { warmup_s, duration_s, drain_s, warmup_inferences: 0 }
}

fn run(spec: &RunSpec, params: &SimParams) -> SimulatedRun {
    simulate(spec, params.server("k").unwrap(), 10.0, &Interrupt::new()).unwrap().unwrap()
}

/// Holds the mean of a figure of the requests due in the window against its exact value, and asks for some precision.
fn assert_mean(what: &str, exact: f64, params: &SimParams, tenant: (&str, u32, f64), of: fn(&Inference) -> f64) {
    let means: Vec<f64> = (0..RUNS)
        .map(|seed| {
            let spec = spec(seed, phases(500.0, 12_000.0, 1_000.0), &[tenant]);
            let run = simulate(&spec, params.server("k").unwrap(), 1e6, &Interrupt::new()).unwrap().unwrap();
            let due: Vec<f64> = run.tenants[0].iter().filter(|i| i.arrival_s >= 500.0).map(of).collect();
            due.iter().sum::<f64>() / due.len() as f64
        })
        .collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
    let half = STUDENT_T * (variance / means.len() as f64).sqrt();
    assert!((mean - exact).abs() <= half, "{what}: {mean:.4} ± {half:.4}, exactly {exact:.4}");
    assert!(half < 0.1 * exact, "{what}: ± {half:.4} of {exact:.4} says little");
}

fn service(demand: Demand) -> Service {
    Service::new("a", demand)
}

#[test]
fn waiting_times_are_those_of_m_m_1_and_m_d_1() {
    let (rate, wait): (f64, fn(&Inference) -> f64) = (0.7, |i| i.start_s - i.arrival_s);
    // M/M/1: λ/(μ(μ − λ)); M/D/1: half of it. L. Kleinrock, Queueing Systems, Volume I: Theory, Wiley, 1975, 3.2 and 5.6.
    let exact = rate / (1.0 - rate);
    let exponential = params(1.0, vec![service(Demand::Exponential { mean_s: 1.0 })]);
    assert_mean("M/M/1", exact, &exponential, ("a", 1, rate), wait);
    let constant = params(1.0, vec![service(Demand::Constant { mean_s: 1.0 })]);
    assert_mean("M/D/1", exact / 2.0, &constant, ("a", 1, rate), wait);
}

/// Replicas of which hardly any has a second request at a time, so that their server is a queue without replicas.
const MANY: u32 = 4_000;

#[test]
fn response_times_are_those_of_m_m_c() {
    // Erlang's C formula: Kleinrock, Volume I, 3.5.
    let (cores, load) = (4.0, 3.2_f64);
    let mut term = 1.0;
    let mut below = 0.0;
    for k in 0..4 {
        below += term;
        term *= load / f64::from(k + 1);
    }
    let waiting = term * cores / (cores - load);
    let exact = 1.0 + waiting / (below + waiting) / (cores - load);
    assert!((exact - 1.745).abs() < 0.01, "{exact}: tables have 0.596 waiting at 4 servers and load 3.2");
    let params = params(cores, vec![service(Demand::Exponential { mean_s: 1.0 })]);
    assert_mean("M/M/4", exact, &params, ("a", MANY, load / f64::from(MANY)), |i| i.end_s - i.arrival_s);
}

#[test]
fn response_times_are_those_of_m_g_1_processor_sharing_whatever_the_distribution() {
    // E[S]/(1 − ρ) for every distribution of demand: Kleinrock, Volume II, 4.4.
    let load = 0.7;
    for demand in [
        Demand::Constant { mean_s: 1.0 },
        Demand::Lognormal { mean_s: 1.0, cv: 1.5 },
        Demand::Quantiles { values_s: vec![0.1, 0.2, 0.3, 2.0, 2.7] },
    ] {
        let name = format!("M/G/1-PS {demand:?}");
        let exact = 1.0 / (1.0 - load);
        let demand = demand.scaled(1.0 / demand.mean_s());
        let params = params(1.0, vec![service(demand)]);
        assert_mean(&name, exact, &params, ("a", MANY, load / f64::from(MANY)), |i| i.end_s - i.arrival_s);
    }
}

/// ∫ N(t) dt by sweeping over the changes of N.
fn area(changes: &mut [(f64, f64)]) -> f64 {
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut area, mut level, mut last_s) = (0.0, 0.0, 0.0);
    for (time_s, change) in changes {
        area += level * (*time_s - last_s);
        level += *change;
        last_s = *time_s;
    }
    assert!(level.abs() < 1e-9, "all have left");
    area
}

/// Services unlike one another.
fn mixed() -> SimParams {
    let full = |id: &str, mean_s, parallelism, pressure_gbs, sensitivity| Service {
        parallelism,
        pressure_gbs,
        sensitivity,
        ..Service::new(id, Demand::Lognormal { mean_s, cv: 0.5 })
    };
    params(4.0, vec![full("a", 0.2, 4.0, 3.0, 2.0), full("b", 0.05, 1.0, 1.0, 0.5), full("c", 0.4, 0.5, 2.0, 1.0)])
}

#[test]
fn little_s_law_holds_of_every_run() {
    for seed in 0..20 {
        let spec =
            spec(seed, phases(0.0, 200.0, 2_000.0), &[("a", 2, 1.0), ("b", 3, 4.0), ("c", 2, 0.5), ("a", 1, 0.5)]);
        let run = run(&spec, &mixed());
        let of_schedule = arrivals(&spec, &spec.run_id());
        for (tenant, inferences) in run.tenants.iter().enumerate() {
            // L·T = Σ W, N counted by the schedule's arrivals and the run's ends; all leave before the deadline.
            let came = of_schedule.iter().filter(|arrival| arrival.tenant == tenant);
            let left = inferences.iter().map(|i| (i.end_s, -1.0));
            let mut changes: Vec<_> = came.map(|arrival| (arrival.intended_s, 1.0)).chain(left).collect();
            let waited: f64 = inferences.iter().map(|i| i.end_s - i.arrival_s).sum();
            let area = area(&mut changes);
            assert!((area / waited - 1.0).abs() < 1e-9, "{area} against {waited}");
        }
    }
}

#[test]
fn work_is_conserved() {
    // A core is busy exactly as long as there is work, and for exactly the work that came, under any sharing of it.
    let params = params(1.0, vec![service(Demand::Constant { mean_s: 0.1 })]);
    let spec = spec(1, phases(0.0, 1_000.0, 1_000.0), &[("a", 5, 1.8)]);
    let run = run(&spec, &params);
    let mut spans: Vec<(f64, f64)> = run.tenants[0].iter().map(|i| (i.start_s, i.end_s)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut busy_s, mut until_s) = (0.0, 0.0_f64);
    for (start_s, end_s) in spans {
        busy_s += (end_s - until_s.max(start_s)).max(0.0);
        until_s = until_s.max(end_s);
    }
    let work_s = 0.1 * run.tenants[0].len() as f64;
    assert!((busy_s - work_s).abs() < 1e-6, "{busy_s} busy of {work_s} work");
}

#[test]
fn cpu_time_is_demand_times_parallelism_and_never_more_than_the_cores() {
    let full = |id: &str, mean_s, parallelism| Service {
        parallelism,
        pressure_gbs: 2.0,
        ..Service::new(id, Demand::Constant { mean_s })
    };
    let params = params(4.0, vec![full("a", 0.3, 4.0), full("b", 0.1, 0.5)]);
    // Warm-up without load at its end is not to be had: all counters from the first to the last reading.
    let spec = spec(2, phases(0.0, 400.0, 0.0), &[("a", 3, 0.9), ("b", 4, 2.0)]);
    let run = run(&spec, &params);
    let last_s = run.counters.last().unwrap().time_s;
    assert_eq!(last_s, 400.0);
    for (tenant, (demand_s, parallelism)) in [(0.3, 4.0), (0.1, 0.5)].into_iter().enumerate() {
        let at_end = run.counters.iter().filter(|reading| reading.time_s == last_s && reading.tenant == tenant);
        let (cpu_s, traffic_gb) =
            at_end.fold((0.0, 0.0), |sum, reading| (sum.0 + reading.cpu_s, sum.1 + reading.traffic_gb));
        let ended = run.tenants[tenant].iter().filter(|i| i.end_s <= last_s).count() as f64;
        let running = run.tenants[tenant].iter().filter(|i| i.start_s < last_s && i.end_s > last_s).count() as f64;
        let (least, most) = (ended * demand_s * parallelism, (ended + running) * demand_s * parallelism);
        assert!(least - 1e-6 <= cpu_s && cpu_s <= most + 1e-6, "{cpu_s} of {least} to {most}");
        assert!((traffic_gb - cpu_s * 2.0 / parallelism).abs() < 1e-6);
    }
    let mut total: BTreeMap<u64, f64> = BTreeMap::new();
    for reading in &run.counters {
        *total.entry(reading.time_s.to_bits()).or_default() += reading.cpu_s;
    }
    let total: Vec<(f64, f64)> = total.into_iter().map(|(bits, cpu_s)| (f64::from_bits(bits), cpu_s)).collect();
    for pair in total.windows(2) {
        assert!(pair[1].1 - pair[0].1 <= 4.0 * (pair[1].0 - pair[0].0) + 1e-9, "{pair:?}");
    }
}

/// A plain simulation: every running inference is moved on at every event. Returns (tenant, replica, end) in order of ends.
fn plain(spec: &RunSpec, params: &SimParams) -> Vec<(usize, u32, f64)> {
    struct Running {
        tenant: usize,
        replica: u32,
        left_s: f64,
    }
    let kind = &params.kinds[0];
    let service = |tenant: usize| {
        let app = &spec.tenants[tenant].app;
        params.services.iter().find(|service| service.id == *app).unwrap()
    };
    let mut waiting = arrivals(spec, &spec.run_id());
    waiting.reverse();
    let mut queues: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    let (mut running, mut now_s, mut ends): (Vec<Running>, f64, Vec<_>) = (Vec::new(), 0.0, Vec::new());
    let deadline_s = spec.phases.end_s() + spec.phases.drain_s;
    loop {
        // The level of the cores by bisection.
        let wanted = |level: f64| running.iter().map(|r| service(r.tenant).parallelism.min(level)).sum::<f64>();
        let (mut low, mut high) = (0.0, 1e3);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            *if wanted(middle) > kind.cores { &mut high } else { &mut low } = middle;
        }
        let part = |r: &Running| service(r.tenant).parallelism.min(low) / service(r.tenant).parallelism;
        let traffic = |r: &Running| {
            let kept = kind.waiting_pressure + (1.0 - kind.waiting_pressure) * part(r);
            kept * service(r.tenant).pressure_gbs
        };
        let pressure: f64 = running.iter().map(traffic).sum();
        let rate = |r: &Running| {
            let service = service(r.tenant);
            let others = (pressure - traffic(r)) / kind.bandwidth_gbs;
            let cores = part(r);
            kind.speed * cores / (1.0 + service.sensitivity * others * others)
        };
        let next_end = running.iter().map(|r| now_s + r.left_s / rate(r)).fold(f64::INFINITY, f64::min);
        let next_arrival = waiting.last().map_or(f64::INFINITY, |arrival| arrival.intended_s);
        let next_s = next_end.min(next_arrival);
        if next_s > deadline_s || next_s == f64::INFINITY {
            return ends;
        }
        let rates: Vec<f64> = running.iter().map(rate).collect();
        for (r, rate) in running.iter_mut().zip(rates) {
            r.left_s -= (next_s - now_s) * rate;
        }
        now_s = next_s;
        let start = |tenant, replica| Running { tenant, replica, left_s: service(tenant).demand.mean_s() };
        if next_end <= next_arrival {
            let first = (0..running.len()).min_by(|a, b| running[*a].left_s.total_cmp(&running[*b].left_s)).unwrap();
            let Running { tenant, replica, .. } = running.remove(first);
            ends.push((tenant, replica, now_s));
            let queue = queues.entry((tenant, replica)).or_default();
            *queue -= 1;
            if *queue > 0 {
                running.push(start(tenant, replica));
            }
        } else if let Some(arrival) = waiting.pop() {
            let queue = queues.entry((arrival.tenant, arrival.replica)).or_default();
            *queue += 1;
            if *queue == 1 {
                running.push(start(arrival.tenant, arrival.replica));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn virtual_clocks_say_what_a_plain_simulation_says(
        seed in 0u64..1_000,
        cores in 1.0f64..6.0,
        waiting_pressure in 0.0f64..1.0,
        services in prop::collection::vec((0.05f64..0.4, 0.3f64..5.0, 0.0f64..4.0, 0.0f64..3.0), 1..4),
        tenants in prop::collection::vec((0usize..4, 1u32..5, 0.3f64..3.0), 1..5),
    ) {
        let ids = ["a", "b", "c"];
        let services: Vec<Service> = services
            .iter()
            .zip(ids)
            .map(|(&(mean_s, parallelism, pressure_gbs, sensitivity), id)| Service {
                parallelism,
                pressure_gbs,
                sensitivity,
                ..Service::new(id, Demand::Constant { mean_s })
            })
            .collect();
        let tenants: Vec<(&str, u32, f64)> =
            tenants.iter().map(|&(app, instances, rate)| (ids[app % services.len()], instances, rate)).collect();
        let mut params = params(cores, services);
        params.kinds[0].speed = 0.8;
        params.kinds[0].waiting_pressure = waiting_pressure;
        let spec = spec(seed, phases(2.0, 15.0, 5.0), &tenants);
        let simulated = run(&spec, &params);
        let mut ends: Vec<(usize, u32, f64)> = simulated
            .tenants
            .iter()
            .enumerate()
            .flat_map(|(tenant, inferences)| inferences.iter().map(move |i| (tenant, i.replica, i.end_s)))
            .filter(|(.., end_s)| end_s.is_finite())
            .collect();
        let mut expected = plain(&spec, &params);
        for ends in [&mut ends, &mut expected] {
            ends.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        }
        prop_assert_eq!(ends.len(), expected.len());
        for (end, expected) in ends.iter().zip(&expected) {
            prop_assert_eq!((end.0, end.1), (expected.0, expected.1));
            prop_assert!((end.2 - expected.2).abs() < 1e-7, "{:?} and {:?}", end, expected);
        }
    }
}

#[test]
fn every_arrival_has_its_record_and_replicas_serve_first_come_first_served() {
    // Overloaded: most requests never start.
    let spec = spec(3, phases(5.0, 50.0, 3.0), &[("a", 2, 8.0), ("b", 2, 5.0)]);
    let run = run(&spec, &mixed());
    let schedule = arrivals(&spec, &spec.run_id());
    for (tenant, inferences) in run.tenants.iter().enumerate() {
        let mut of_run: Vec<_> = inferences.iter().map(|i| (i.replica, i.seq, i.arrival_s.to_bits())).collect();
        let of_tenant = schedule.iter().filter(|arrival| arrival.tenant == tenant);
        let mut of_schedule: Vec<_> =
            of_tenant.map(|arrival| (arrival.replica, arrival.seq as u32, arrival.intended_s.to_bits())).collect();
        of_run.sort();
        of_schedule.sort();
        assert_eq!(of_run, of_schedule);
        for replica in 0..2 {
            let own: Vec<&Inference> = inferences.iter().filter(|i| i.replica == replica).collect();
            assert!(own.iter().all(|i| i.start_s >= i.arrival_s && i.end_s >= i.start_s));
            for pair in own.windows(2) {
                assert!(pair[0].seq < pair[1].seq && pair[0].end_s <= pair[1].start_s);
            }
        }
    }
    assert!(run.tenants[0].iter().any(|i| i.start_s.is_infinite()));
    assert!(run.tenants.iter().flatten().all(|i| i.end_s <= 58.0 || i.end_s.is_infinite()));
}

#[test]
fn startup_and_garbage_lengthen_the_inferences_that_meet_them() {
    let slow = Service {
        startup_s: 2.0,
        garbage: Some(Garbage { every: 3, pause_s: 0.5 }),
        ..service(Demand::Constant { mean_s: 0.1 })
    };
    let run = run(&spec(1, phases(0.0, 60.0, 60.0), &[("a", 1, 0.2)]), &params(1.0, vec![slow]));
    for (i, inference) in run.tenants[0].iter().enumerate() {
        let expected = 0.1 + if i == 0 { 2.0 } else { 0.0 } + if (i + 1) % 3 == 0 { 0.5 } else { 0.0 };
        assert!((inference.end_s - inference.start_s - expected).abs() < 1e-9, "{i}: {inference:?}");
    }
    assert!(run.tenants[0].len() > 3);
}

fn campaign(out: &Path, keep: Keep, jobs: usize) -> SimCampaignParams {
    let tool = Tool { name: "test".into(), version: "0".into(), commit: String::new() };
    SimCampaignParams { keep, jobs, min_free_gb: 0.0, ..SimCampaignParams::new(out, tool) }
}

fn runs() -> Vec<RunSpec> {
    let run = |seed| spec(seed, phases(2.0, 40.0, 2.0), &[("a", 2, 1.5), ("b", 3, 4.0), ("c", 1, 0.5)]);
    (1..=6).map(run).collect()
}

/// Every file under a folder but the lock, by its path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".lock" {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_workers_and_the_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let (params, runs) = (mixed(), runs());
    let server = params.server("k").unwrap();
    let out = |name: &str| folder.path().join(name);
    let whole = campaign(&out("whole"), Keep::Summaries, 4);
    let report = simulate_campaign(server, &runs, &whole, &Interrupt::new(), &mut ()).unwrap();
    assert_eq!((report.complete, report.left), (6, 0));

    let pieces = campaign(&out("pieces"), Keep::Summaries, 1);
    let interrupt = Interrupt::new();
    let mut after_two = |event: &Event<'_>| {
        if let Event::RunEnded { manifest } = event
            && manifest.run_id == runs[1].run_id()
        {
            interrupt.request();
        }
    };
    let report = simulate_campaign(server, &runs, &pieces, &interrupt, &mut after_two).unwrap();
    assert!((2..6).contains(&report.complete) && report.left == 6 - report.complete, "{report:?}");
    let before = report.complete;
    let report = simulate_campaign(server, &runs, &pieces, &Interrupt::new(), &mut ()).unwrap();
    assert_eq!((report.finished_before, report.complete, report.left), (before, 6 - before, 0));

    let (whole, pieces) = (files(&out("whole")), files(&out("pieces")));
    assert_eq!(whole.len(), 6 * 3);
    assert!(whole == pieces, "the same bytes");
}

#[test]
fn a_run_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let params = mixed();
    let long = spec(1, phases(0.0, 1e6, 0.0), &[("b", 3, 4.0)]);
    let interrupt = Interrupt::new();
    interrupt.request();
    let params_of = campaign(folder.path(), Keep::Summaries, 2);
    let started = simulate(&long, params.server("k").unwrap(), 1e6, &interrupt).unwrap();
    assert!(started.is_some(), "one request lets it end");
    interrupt.request();
    assert_eq!(simulate(&long, params.server("k").unwrap(), 1e6, &interrupt).unwrap(), None);
    let report = simulate_campaign(params.server("k").unwrap(), &[long], &params_of, &interrupt, &mut ()).unwrap();
    assert_eq!((report.complete, report.left), (0, 1));
    assert!(files(folder.path()).is_empty());
}

#[test]
fn summaries_on_the_fly_are_those_of_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let (params, mut runs) = (mixed(), runs());
    // An overloaded one too, whose requests wait beyond the warm-up and beyond the end.
    runs.push(spec(9, phases(5.0, 50.0, 3.0), &[("a", 2, 8.0), ("b", 2, 5.0)]));
    let dataset = |name: &str, keep| {
        let out = folder.path().join(name);
        let params_of = campaign(&out, keep, 2);
        simulate_campaign(params.server("k").unwrap(), &runs, &params_of, &Interrupt::new(), &mut ()).unwrap();
        Dataset::build(&out.join("dataset"), &run_folders(&out).unwrap()).unwrap()
    };
    let (summarised, recorded) = (dataset("summaries", Keep::Summaries), dataset("records", Keep::Records));
    let tenants: Vec<TenantRow> = recorded.read().unwrap();
    assert_eq!(summarised.read::<TenantRow>().unwrap(), tenants);
    assert_eq!(summarised.read::<QuantileRow>().unwrap(), recorded.read::<QuantileRow>().unwrap());
    assert!(
        tenants.iter().all(|row| row.samples > 10 && row.cpu_clock_mean.is_some() && row.page_faults_mean.is_none())
    );
    assert!(tenants.iter().any(|row| row.unstable && row.censored > 0));
    assert_eq!(summarised.read::<RequestRecord>().unwrap(), []);

    let records: Vec<RequestRecord> = recorded.read().unwrap();
    let scheduled: usize = runs.iter().map(|run| arrivals(run, &run.run_id()).len()).sum();
    assert_eq!(records.len(), scheduled);
    for record in &records {
        assert_eq!(record.start_s.is_some(), record.status == RequestStatus::Ok);
        assert_eq!(record.queue_len == Some(0), record.queueing_s == Some(0.0), "{record:?}");
        if let (Some(queueing_s), Some(service_s), Some(response_s)) =
            (record.queueing_s, record.service_s, record.response_s)
        {
            assert!((queueing_s + service_s - response_s).abs() < 1e-9);
        }
    }
    let folder = RunFolder::open(&folder.path().join("summaries/runs").join(runs[0].run_id())).unwrap();
    assert_eq!((&folder.manifest().data, folder.manifest().target.as_str()), (&DataVerdict::Summarised, "sim"));
}

#[test]
fn runs_of_another_server_are_not_taken_for_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (params, runs) = (mixed(), runs());
    let params_of = campaign(folder.path(), Keep::Summaries, 2);
    simulate_campaign(params.server("k").unwrap(), &runs[..1], &params_of, &Interrupt::new(), &mut ()).unwrap();
    let before = files(folder.path());
    let mut faster = params.clone();
    faster.kinds[0].speed = 2.0;
    let error = simulate_campaign(faster.server("k").unwrap(), &runs, &params_of, &Interrupt::new(), &mut ());
    assert!(matches!(&error, Err(Error::OtherTarget { .. })), "{error:?}");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn one_campaign_on_two_kinds_is_two() {
    let folder = tempfile::tempdir().unwrap();
    let built_in = SimParams::built_in();
    let spec = spec(1, phases(1.0, 10.0, 1.0), &[("kalman-gru", 2, 20.0)]);
    let out = campaign(folder.path(), Keep::Summaries, 1);
    for kind in ["edge-a", "edge-b"] {
        let server = built_in.server(kind).unwrap();
        let runs = [spec.clone().on(server.target())];
        assert_eq!(simulate_campaign(server, &runs, &out, &Interrupt::new(), &mut ()).unwrap().complete, 1);
    }
    let runs = run_folders(folder.path()).unwrap();
    let dataset = Dataset::build(&folder.path().join("dataset"), &runs).unwrap();
    let rows = dataset.read::<TenantRow>().unwrap();
    assert!(rows.len() == 2 && rows[0].run_id != rows[1].run_id && rows[0].mean_s != rows[1].mean_s, "{rows:?}");
    let meant_for_b = [spec.on("sim/edge-b")];
    let refused = simulate_campaign(built_in.server("edge-a").unwrap(), &meant_for_b, &out, &Interrupt::new(), &mut ());
    assert!(refused.unwrap_err().to_string().contains("sim/edge-b"));
}
