//! The command against real services on this machine: measured, interrupted, killed and resumed.
//!
//! Nothing here asserts how fast anything is; a run may be `invalid` on a busy machine and is a measured run all the same.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use neuro_data::run_folder::{RunFolder, run_folders};
use neuro_data::store::TenantRow;
use neuro_data::{CounterSample, Dataset, RequestRecord, RequestStatus, RunStatus};

/// `neuro` with a lock of its own, so that tests run side by side.
fn neuro(out: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuro"));
    command.args(arguments.split_whitespace()).arg("--out").arg(out).arg("--lock").arg(out.with_extension("lock"));
    command
}

/// A grid of six short runs of one light application.
const SMALL: &str = "run pairwise --apps kalman-gru --instances 1,2 --rates 5,20 --observed-rate 20 --duration 0.4 --warmup 0.1 \
                     --drain 0.5";

fn finish(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes of this machine that belong to a run in `out`, by the variable that replicas carry.
fn replicas(out: &Path) -> Vec<u32> {
    let runs: Vec<String> = fs::read_dir(out.join("runs"))
        .map(|entries| entries.map(|e| e.unwrap().file_name().to_string_lossy().replace(".partial", "")).collect())
        .unwrap_or_default();
    let of_ours = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let run = variables.find_map(|v| v.strip_prefix("NEURO_RUN=").map(str::to_owned));
        run.is_some_and(|run| runs.contains(&run))
    };
    let pids = fs::read_dir("/proc").into_iter().flatten().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(of_ours).collect()
}

fn manifests_written(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let folders = if out.join("runs").exists() { run_folders(out).unwrap() } else { Vec::new() };
    let written = |run: &RunFolder| {
        let path = run.path().join("run.json");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        (path, modified)
    };
    folders.iter().map(written).collect()
}

fn partial_runs(out: &Path) -> usize {
    let Ok(entries) = fs::read_dir(out.join("runs")) else { return 0 };
    entries.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "partial")).count()
}

#[test]
fn a_killed_driver_leaves_no_process_and_the_next_call_redoes_only_the_partial_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // A different seed gives run ids that no other test's processes carry.
    let seeded = format!("{SMALL} --seed 77");
    let mut driver = start(neuro(&out, &seeded));
    wait_until("two runs are there and a third is under way", || {
        manifests_written(&out).len() >= 2 && partial_runs(&out) == 1 && !replicas(&out).is_empty()
    });
    driver.kill().unwrap();
    driver.wait().unwrap();
    wait_until("its services are gone", || replicas(&out).is_empty());
    let before = manifests_written(&out);
    assert_eq!(partial_runs(&out), 1, "the run it was at is partial");

    finish(neuro(&out, &seeded));
    let after = manifests_written(&out);
    assert_eq!((after.len(), partial_runs(&out)), (6, 0));
    for (path, time) in &before {
        assert_eq!(after[path], *time, "a finished run is not done again: {}", path.display());
    }
    for file in ["dataset", "sig_params.json", "baselines.json", "heatmap.svg", "curves.svg", "noise_floor.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
    assert!(replicas(&out).is_empty());

    // A third call has nothing to do.
    finish(neuro(&out, &seeded));
    assert_eq!(manifests_written(&out), after);
}

#[test]
fn two_runs_of_a_seed_have_the_same_schedule_and_every_arrival_has_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let small = SMALL.replace("pairwise", "baseline").replace("--instances 1,2 --rates 5,20 ", "");
    let requests = |name: &str| {
        let out = folder.path().join(name);
        let output = finish(neuro(&out, &format!("{small} --seed 78 --json")));
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((object["failed"].as_u64(), object["left"].as_u64()), (Some(0), Some(0)));
        let dataset = Dataset::open(&out.join("dataset")).unwrap();
        (dataset.read::<RequestRecord>().unwrap(), dataset.read::<CounterSample>().unwrap(), dataset)
    };
    let ((first, counters, dataset), (second, ..)) = (requests("one"), requests("two"));
    let schedule = |records: &[RequestRecord]| -> Vec<(String, u64, u64)> {
        records.iter().map(|r| (r.run_id.clone(), r.seq, r.intended_s.unwrap().to_bits())).collect()
    };
    assert!(first.len() > 8, "{}", first.len());
    assert_eq!(schedule(&first), schedule(&second));

    for record in first.iter().filter(|r| r.status == RequestStatus::Ok) {
        let intended = record.intended_s.unwrap();
        let (sent, start, end) = (record.sent_s.unwrap(), record.start_s.unwrap(), record.end_s.unwrap());
        assert!(intended <= sent && sent <= start && start <= end && end <= record.client_end_s.unwrap());
        assert!((end - start - record.service_s.unwrap()).abs() < 1e-6);
        assert_eq!(record.response_s.unwrap(), record.client_end_s.unwrap() - intended);
        assert_eq!(record.warmup, intended < 0.1);
    }
    // CPU time is counted everywhere; a hardware counter is there throughout or null throughout.
    let counted =
        |event: &str| counters.iter().filter(|c| c.event == event).map(|c| c.count.is_some()).collect::<Vec<_>>();
    assert!(!counted("cpu-clock").is_empty() && counted("cpu-clock").iter().all(|known| *known));
    let misses = counted("cache-misses");
    assert!(misses.iter().all(|known| *known == misses[0]));

    let run = &run_folders(&folder.path().join("one")).unwrap()[0];
    let manifest = run.manifest();
    assert!(manifest.load.cpu_s > 0.0 && manifest.replicas[0].peak_memory_gb.unwrap() > 0.001);
    assert_eq!(manifest.cleanup, neuro_data::CleanupVerdict::Clean);
    assert_eq!(dataset.read::<TenantRow>().unwrap().len(), 2);
}

#[test]
fn a_starved_tenant_is_censored_and_unstable_and_has_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Twenty milliseconds of load on a service that takes several times as long for one inference, and no time to drain.
    let starve = "run baseline --apps text-bert --observed-rate 500 --duration 0.02 --warmup 0 --drain 0 --seed 79";
    finish(neuro(&out, starve));
    let dataset = Dataset::open(&out.join("dataset")).unwrap();
    let tenants = dataset.read::<TenantRow>().unwrap();
    assert_eq!(tenants.len(), 2);
    for tenant in tenants {
        assert_eq!((tenant.completed, tenant.samples), (0, 0));
        assert!(tenant.censored > 0 && tenant.unstable);
        assert_eq!((tenant.mean_s, tenant.p95_s, tenant.mean_s_lo), (None, None, None));
    }
    for record in dataset.read::<RequestRecord>().unwrap() {
        assert_eq!(record.status, RequestStatus::Censored);
        assert_eq!((record.service_s, record.response_s, record.client_end_s), (None, None, None));
    }
}

#[test]
fn an_interrupt_ends_after_the_current_run_and_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut driver = start(neuro(&out, &format!("{SMALL} --seed 80")));
    wait_until("a run is under way", || partial_runs(&out) == 1 && !replicas(&out).is_empty());
    interrupt(&driver);
    assert_eq!(driver.wait().unwrap().code(), Some(130));
    let done = manifests_written(&out).len();
    assert!((1..6).contains(&done), "{done}");
    assert_eq!(partial_runs(&out), 0);
    assert!(replicas(&out).is_empty());
}

#[test]
fn a_second_interrupt_gives_the_run_up() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let long = SMALL.replace("--duration 0.4", "--duration 3600");
    let mut driver = start(neuro(&out, &format!("{long} --seed 81")));
    wait_until("a run is under way", || partial_runs(&out) == 1 && !replicas(&out).is_empty());
    interrupt(&driver);
    std::thread::sleep(Duration::from_millis(50));
    interrupt(&driver);
    assert_eq!(driver.wait().unwrap().code(), Some(130));
    assert_eq!((manifests_written(&out).len(), partial_runs(&out)), (0, 0));
    assert!(replicas(&out).is_empty());
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_service_that_dies_fails_its_runs_and_says_what_it_printed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let catalogue = folder.path().join("broken.toml");
    let entry = "[[app]]\nid = \"broken\"\ncommand = [\"sh\", \"-c\", \"echo no such model; exit 7\"]\nport = 1\nbatch = 1\n\
                 memory_gb = 0.1\nprice = 1\ndelay_s = [1, 2]\nload = \"low\"\n";
    fs::write(&catalogue, entry).unwrap();
    let mut command = neuro(&out, "run baseline --apps broken --duration 0.1 --seed 82");
    let output = command.arg("--catalogue").arg(&catalogue).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let runs = run_folders(&out).unwrap();
    assert_eq!(runs.len(), 2);
    for run in &runs {
        let manifest = run.manifest();
        assert_eq!(manifest.status, RunStatus::Failed);
        let reason = manifest.reason.as_deref().unwrap();
        assert!(reason.contains("exit code 7") && reason.contains("no such model"), "{reason}");
    }
    // A failed run is done again, a failed service still fails.
    let before = manifests_written(&out);
    let mut command = neuro(&out, "run baseline --apps broken --duration 0.1 --seed 82");
    command.arg("--catalogue").arg(&catalogue).output().unwrap();
    assert!(manifests_written(&out).iter().all(|(path, time)| before[path] != *time));
}

#[test]
fn what_a_service_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let catalogue = folder.path().join("forking.toml");
    let own = env!("CARGO_BIN_EXE_neuro");
    // A shell that stays in between: the service is the driver's grandchild.
    let script = format!("{own} app serve --app kalman-gru --port {{port}} & wait");
    let entry = format!(
        "[[app]]\nid = \"forking\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\nport = 1\nbatch = 16\nmemory_gb = 0.3\nprice = 1\n\
         delay_s = [1, 2]\nload = \"low\"\n"
    );
    fs::write(&catalogue, entry).unwrap();
    let mut command =
        neuro(&out, "run baseline --apps forking --observed-rate 20 --duration 0.3 --warmup 0.1 --seed 83");
    command.arg("--catalogue").arg(&catalogue);
    finish(command);
    assert!(replicas(&out).is_empty());
    assert!(run_folders(&out).unwrap().iter().all(|run| run.manifest().status != RunStatus::Failed));
}

#[test]
fn bad_input_is_refused_with_exit_code_2_and_a_held_lock_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (arguments, word) in [
        ("run baseline --apps nosuch", "tclf-rf"),
        ("run baseline --apps kalman-gru --duration=-1", "duration"),
        ("run baseline --apps kalman-gru --observed-rate 0", "rate"),
        ("run pairwise --apps kalman-gru --instances 0", "instances"),
        ("run sideways", "sideways"),
    ] {
        let output = neuro(&out, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{arguments}: {said}");
    }
    let lock = fs::File::create(out.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let output = neuro(&out, SMALL).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another driver"));
}

#[test]
fn version_names_the_solver() {
    let output = Command::new(env!("CARGO_BIN_EXE_neuro")).args(["version", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["cbc"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{json}");
}

#[test]
fn the_command_alone_shows_its_help_and_shells_can_complete_it() {
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_neuro")).args(arguments).output().unwrap();
    let alone = run(&[]);
    assert!(alone.status.success() && String::from_utf8_lossy(&alone.stdout).contains("neuro demo"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains("calibrate"), "{shell}");
    }
    assert_eq!(run(&["completions", "csh"]).status.code(), Some(2));
    assert_eq!(run(&["solv"]).status.code(), Some(2));
}

#[test]
fn apps_lists_what_can_be_served() {
    let list = |argument: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_neuro")).arg("apps").args(argument).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&[]).contains("kalman-gru"));
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    let apps = json["apps"].as_array().unwrap();
    assert_eq!(apps.len(), 9);
    assert!(apps.iter().any(|app| app["application"]["id"] == "tclf-rf" && app["served"] == true));
}
