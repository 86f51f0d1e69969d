//! Raw runs into datasets: both layouts, every fault, appending, and crashes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::{HEADER, tree_bytes, write_prototype_run, write_run};
use neuro_data::ingest::{IngestParams, IngestReport, ingest};
use neuro_data::store::{QuantileRow, RunRow, TenantRow};
use neuro_data::{Catalogue, CounterSample, Dataset, Error, RequestRecord, RequestStatus, RunKind, RunStatus};

fn ingest_with(raw: &Path, out: &Path, change: impl FnOnce(&mut IngestParams)) -> neuro_data::Result<IngestReport> {
    let mut params = IngestParams { jobs: 2, ..IngestParams::default() };
    change(&mut params);
    ingest(&[raw.to_owned()], out, &params, &mut |_| ControlFlow::Continue(()))
}

/// A raw folder with one good run, which `damage` may then change, and the dataset of it.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(damage: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_prototype_run(&folder.path().join("raw/0007"));
        damage(&folder.path().join("raw/0007"));
        Self { folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("dataset")
    }

    fn ingest(&self) -> IngestReport {
        ingest_with(&self.folder.path().join("raw"), &self.out(), |_| ()).unwrap()
    }

    /// Ingests; the one problem, its path from the run's folder on.
    fn one_problem(&self) -> String {
        let report = self.ingest();
        assert_eq!(report.problems.total(), 1, "{:?}", report.problems.kept());
        let strict =
            ingest_with(&self.folder.path().join("raw"), &self.folder.path().join("strict"), |p| p.strict = true);
        assert!(matches!(strict, Err(Error::Problem(_))), "strict makes it an error");
        assert!(!self.folder.path().join("strict").exists() && !self.folder.path().join("strict.partial").exists());
        report.problems.kept()[0].to_string().rsplit_once("0007/").map(|(_, rest)| rest.to_owned()).unwrap()
    }

    fn tenants(&self) -> BTreeMap<String, TenantRow> {
        let rows = Dataset::open(&self.out()).unwrap().read::<TenantRow>().unwrap();
        rows.into_iter().map(|row| (row.tenant_id.clone(), row)).collect()
    }

    fn run(&self) -> RunRow {
        Dataset::open(&self.out()).unwrap().read::<RunRow>().unwrap().remove(0)
    }
}

#[test]
fn a_run_of_the_prototype_becomes_rows_and_what_it_did_not_record_is_null() {
    let case = Case::new(|_| ());
    let report = case.ingest();
    assert_eq!((report.added, report.known, report.problems.total()), (1, 0, 0), "{:?}", report.problems.kept());
    let dataset = Dataset::open(&case.out()).unwrap();

    let run = case.run();
    assert_eq!((run.kind, run.status, run.target.as_str()), (RunKind::Random, RunStatus::Complete, "prototype"));
    assert!(run.run_id.starts_with("random_0007_"), "{}", run.run_id);
    assert_eq!((run.seed, run.send_lateness_p99_s, run.reason.clone()), (None, None, None));
    assert_eq!(run.started_at.unwrap().0, 1_700_000_000.0, "arrivals on the epoch's clock tell when it started");
    assert_eq!(run.duration_s, Some(4.5));
    // 2 replicas x 2/s and 1 x 4/s.
    assert_eq!(run.requested_rate, 8.0);
    assert!(run.manifest.contains("sla_type"), "the tenants' requests are kept whole");

    let requests = dataset.read::<RequestRecord>().unwrap();
    assert_eq!(requests.len(), 8);
    let first = &requests[0];
    assert_eq!((first.tenant_id.as_str(), first.app.as_str(), first.seq), ("0", "tclf-rf", 0));
    assert_eq!((first.replica, first.intended_s, first.sent_s, first.response_s), (None, None, None, None));
    assert_eq!((first.start_s, first.end_s, first.service_s), (Some(0.25), Some(0.75), Some(0.5)));
    assert_eq!((first.queueing_s, first.queue_len, first.warmup), (Some(0.25), Some(1), false));
    let last = requests.iter().rfind(|r| r.tenant_id == "0").unwrap();
    assert_eq!((last.status, last.service_s), (RequestStatus::Censored, None), "it arrived and was never served");
    assert!(requests.iter().filter(|r| r.tenant_id == "1").all(|r| r.replica == Some(0)), "there is but one");

    let tenants = case.tenants();
    // 0.5, 1, 1.5 and 4: mean 1.75, p75 at 1.5 + 0.25 x 2.5.
    assert_eq!((tenants["0"].mean_s, tenants["0"].p75_s), (Some(1.75), Some(2.125)));
    assert_eq!((tenants["0"].completed, tenants["0"].censored, tenants["0"].samples), (4, 1, 4));
    assert!(tenants["0"].unstable, "2/s of 1.75 s each");
    assert!(!tenants["1"].unstable);
    let quantiles = dataset.read::<QuantileRow>().unwrap();
    assert_eq!((quantiles[0].samples, quantiles[0].service_s.as_slice()), (4, [0.5, 1.0, 1.5, 4.0].as_slice()));

    let counters = dataset.read::<CounterSample>().unwrap();
    let of = |replica, event: &str| {
        let of = counters.iter().filter(|c| c.tenant_id == "0" && c.replica == replica && c.event == event);
        of.map(|c| (c.time_s, c.count)).collect::<Vec<_>>()
    };
    assert_eq!(of(0, "cpu-clock"), [(1.0, Some(500_000_000)), (2.0, Some(700_000_000))], "ns, not the derived value");
    assert_eq!(of(0, "cache-misses"), [(1.0, None), (2.0, Some(900))]);
    assert_eq!(of(1, "cpu-clock"), [(1.0, Some(300_000_000))], "replicas are in the order of the process ids");
    assert_eq!(tenants["0"].cpu_clock_mean, Some(500_000_000.0));
    assert_eq!(tenants["0"].cache_misses_std, None, "one reading has no deviation");
}

#[test]
fn a_bad_line_is_left_out_beside_the_good_ones() {
    for (cell, place) in [("NaN", "3:3"), ("-0.5", "3:3"), ("inf", "3:3"), ("12:30", "3:3")] {
        let case = Case::new(|run| {
            let text = fs::read_to_string(run.join("tenant-1.csv")).unwrap();
            fs::write(run.join("tenant-1.csv"), text.replacen("1,0.25,", &format!("1,{cell},"), 1)).unwrap();
        });
        let problem = case.one_problem();
        assert!(problem.starts_with(&format!("tenant-1.csv:{place}: ")) && problem.contains(cell), "{problem}");
        assert_eq!((case.tenants()["1"].samples, case.tenants()["0"].samples), (2, 4));
        let reason = case.run().reason.unwrap();
        assert!(reason.starts_with("1 problems in its files, the first: tenant-1.csv:3:3: "), "{reason}");
        assert_eq!(case.run().status, RunStatus::Complete);
    }
}

#[test]
fn a_truncated_file_loses_its_cut_line_alone() {
    let case = Case::new(|run| {
        let text = fs::read_to_string(run.join("tenant-1.csv")).unwrap();
        fs::write(run.join("tenant-1.csv"), &text[..text.len() - 12]).unwrap();
    });
    assert!(case.one_problem().contains("the file ends within it"));
    assert_eq!(case.tenants()["1"].samples, 2);
}

#[test]
fn a_tenant_without_a_file_or_with_an_empty_one_has_no_statistics_and_stays_a_neighbour() {
    for (empty, word) in [(false, "missing"), (true, "empty")] {
        let case = Case::new(|run| {
            fs::remove_file(run.join("tenant-1.csv")).unwrap();
            if empty {
                fs::write(run.join("tenant-1.csv"), "").unwrap();
            }
        });
        let problem = case.one_problem();
        assert!(problem.starts_with("tenant-1.csv: ") && problem.contains(word), "{problem}");
        let unmeasured = &case.tenants()["1"];
        assert_eq!((unmeasured.samples, unmeasured.mean_s, unmeasured.unstable), (0, None, false));
        assert_eq!(case.tenants()["0"].samples, 4);
    }
}

#[test]
fn a_tenant_whose_requests_were_never_served_starved() {
    let case = Case::new(|run| fs::write(run.join("tenant-1.csv"), format!("{HEADER}\n")).unwrap());
    assert_eq!(case.ingest().problems.total(), 0, "that is no fault of the file");
    let starved = &case.tenants()["1"];
    assert_eq!((starved.samples, starved.mean_s, starved.unstable), (0, None, true));
}

#[test]
fn a_run_without_any_measured_tenant_has_failed() {
    let case = Case::new(|run| {
        fs::remove_file(run.join("tenant-0.csv")).unwrap();
        fs::remove_file(run.join("tenant-1.csv")).unwrap();
    });
    assert_eq!(case.ingest().problems.total(), 2);
    assert_eq!((case.run().status, case.run().reason.as_deref()), (RunStatus::Failed, Some("no tenant was measured")));
}

#[test]
fn a_run_without_metrics_has_unknown_counters() {
    let case = Case::new(|run| fs::remove_dir_all(run.join("proc_metrics/tenant_1")).unwrap());
    let problem = case.one_problem();
    assert!(problem.starts_with("proc_metrics/tenant_1: the folder is missing"), "{problem}");
    assert_eq!((case.tenants()["1"].cpu_clock_mean, case.tenants()["1"].samples), (None, 3));

    let case = Case::new(|run| fs::remove_dir_all(run.join("proc_metrics")).unwrap());
    assert_eq!(case.ingest().problems.total(), 2, "one a tenant");
    assert!(Dataset::open(&case.out()).unwrap().read::<CounterSample>().unwrap().is_empty());

    let case = Case::new(|run| fs::write(run.join("proc_metrics/tenant_1/30.raw"), "").unwrap());
    assert!(case.one_problem().starts_with("proc_metrics/tenant_1/30.raw: the file is empty"));
}

#[test]
fn the_older_name_of_the_metric_folder_is_known() {
    let case = Case::new(|run| fs::rename(run.join("proc_metrics/tenant_1"), run.join("proc_metrics/1")).unwrap());
    assert_eq!(case.ingest().problems.total(), 0);
    assert!(case.tenants()["1"].cpu_clock_mean.is_some());
}

#[test]
fn a_bad_line_of_perf_is_left_out_beside_the_good_ones() {
    let case = Case::new(|run| {
        let path = run.join("proc_metrics/tenant_1/30.raw");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}2.0 lots msec cpu-clock\n")).unwrap();
    });
    let problem = case.one_problem();
    assert!(problem.starts_with("proc_metrics/tenant_1/30.raw:3:5: the count is \"lots\""), "{problem}");
    assert!(case.tenants()["1"].cpu_clock_mean.is_some());
}

#[test]
fn runs_whose_tenants_are_in_doubt_are_left_out() {
    for (old, new, words) in [
        ("\"id\":1", "\"id\":0", "unique within the run"),
        ("text-tbert", "text-tbret", "unknown application \"text-tbret\""),
        ("\"arrival_rate\":4.0", "\"arrival_rate\":-4.0", "tenants[1].rate is -4"),
        ("\"id\":1", "\"id\":\"../1\"", "tenants[1].id is ../1"),
        ("\"num_instances\":1", "\"num_instances\":1.5", ":1:"),
        ("]}", "", ":1:"),
    ] {
        let case = Case::new(|run| {
            let path = run.join("tenant_requests.json");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(old), "{text}");
            fs::write(&path, text.replace(old, new)).unwrap();
        });
        let problem = case.one_problem();
        assert!(problem.starts_with("tenant_requests.json") && problem.contains(words), "{problem}");
        assert!(problem.contains("the run is left out"), "{problem}");
    }
    let case = Case::new(|run| fs::write(run.join("tenant_requests.json"), "").unwrap());
    assert!(case.one_problem().starts_with("tenant_requests.json:1:"));

    let case = Case::new(|run| {
        let path = run.join("tenant_requests.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("text-tbert", "my-service")).unwrap();
    });
    let extension = "[[app]]\nid = \"my-service\"\nport = 1\nbatch = 1\nmemory_gb = 1\nprice = 1\ndelay_s = [1, 2]\nload = \"low\"\n";
    let report = ingest_with(&case.folder.path().join("raw"), &case.out(), |params| {
        params.catalogue = Catalogue::built_in().extended(extension).unwrap();
    });
    assert_eq!((report.unwrap().added, case.tenants()["1"].app.as_str()), (1, "my-service"), "a catalogue may name it");
}

#[test]
fn a_file_of_a_tenant_that_nobody_asked_for_is_left_out() {
    let case = Case::new(|run| fs::copy(run.join("tenant-1.csv"), run.join("tenant-9.csv")).map(|_| ()).unwrap());
    assert!(case.one_problem().starts_with("tenant-9.csv: tenant_requests.json has no such tenant"));
    assert_eq!(case.tenants().len(), 2);
}

#[test]
fn a_tree_holds_baselines_pairs_and_random_runs_and_one_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    write_prototype_run(&raw.join("random/0001"));
    let pair = raw.join("pairwise/tclf-rf_text-tbert/2/4");
    write_prototype_run(&pair);
    let alone = raw.join("baseline/tclf-rf");
    write_prototype_run(&alone);
    let one =
        r#"{"tenant_requests":[{"id":0,"application":"tclf-rf","arrival_rate":10.0,"num_instances":1,"pids":[10]}]}"#;
    fs::write(alone.join("tenant_requests.json"), one).unwrap();
    fs::remove_file(alone.join("tenant-1.csv")).unwrap();
    write_run(&raw, 0);
    // What is no run: an unfinished one, a hidden folder, a link in a circle.
    fs::create_dir_all(raw.join("runs/x.partial")).unwrap();
    fs::write(raw.join("runs/x.partial/run.json"), "{").unwrap();
    fs::create_dir_all(raw.join(".cache")).unwrap();
    fs::write(raw.join(".cache/tenant_requests.json"), "{").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&raw, raw.join("circle")).unwrap();

    let out = folder.path().join("dataset");
    let report = ingest_with(&raw, &out, |params| params.server = "edge-1".into()).unwrap();
    assert_eq!((report.added, report.problems.total()), (4, 0), "{:?}", report.problems.kept());
    let runs = Dataset::open(&out).unwrap().read::<RunRow>().unwrap();
    let mut names: Vec<_> = runs.iter().map(|r| (r.kind, r.run_id.rsplit_once('_').unwrap().0.to_owned())).collect();
    names.sort();
    assert_eq!(names[0], (RunKind::Baseline, "baseline_tclf-rf".to_owned()));
    assert_eq!(names[1], (RunKind::Pairwise, "pairwise_tclf-rf_text-tbert_n2_r4".to_owned()));
    assert!(names[2].0 == RunKind::Pairwise && names[3] == (RunKind::Random, "random_0001".to_owned()), "{names:?}");
    assert!(runs.iter().all(|run| run.server == if run.target == "prototype" { "edge-1" } else { "edge" }));
    assert!(ingest_with(&folder.path().join("raw/.cache"), &out, |_| ()).is_ok_and(|r| r.problems.total() == 1));
    let nothing = tempfile::tempdir().unwrap();
    assert!(ingest_with(nothing.path(), &out, |_| ()).unwrap_err().to_string().contains("run.json"));
}

#[test]
fn ingesting_twice_changes_nothing_and_more_runs_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("dataset"));
    write_prototype_run(&raw.join("0001"));
    write_run(&raw, 0);
    assert_eq!(ingest_with(&raw, &out, |_| ()).unwrap().added, 2);
    let first = tree_bytes(&out);
    assert_eq!(first.len(), 5, "a file a table");
    let again = ingest_with(&raw, &out, |_| ()).unwrap();
    assert_eq!((again.added, again.known), (0, 2));
    assert_eq!(tree_bytes(&out), first);

    // A part of the tree is the same runs, and so is a copy elsewhere of the same name.
    assert_eq!(ingest_with(&raw.join("0001"), &out, |_| ()).unwrap().known, 1);

    fs::create_dir_all(out.join("datapoints")).unwrap();
    write_prototype_run(&raw.join("0002"));
    let more = ingest_with(&raw, &out, |_| ()).unwrap();
    assert_eq!((more.added, more.known, more.datapoints_removed), (1, 2, true));
    let appended = tree_bytes(&out);
    assert_eq!(appended.len(), 10);
    assert!(first.iter().all(|(path, bytes)| appended.get(path) == Some(bytes)), "old files stay as they are");
    assert_eq!(Dataset::open(&out).unwrap().read::<RunRow>().unwrap().len(), 3);

    // Anew, with the runs in one go.
    assert_eq!(ingest_with(&raw, &out, |params| params.replace = true).unwrap().added, 3);
    assert_eq!(tree_bytes(&out).len(), 5);
}

#[test]
fn one_run_in_two_places_is_ingested_once_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    write_prototype_run(&raw.join("a/0001"));
    write_prototype_run(&raw.join("b/0001"));
    let report = ingest_with(&raw, &folder.path().join("dataset"), |_| ()).unwrap();
    assert_eq!((report.added, report.problems.total()), (1, 1));
    assert!(report.problems.kept()[0].to_string().contains("b/0001: it is the run random_0001_"));
}

#[test]
fn the_dataset_does_not_depend_on_the_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    for i in 0..130 {
        write_prototype_run(&raw.join(format!("{i:04}")));
    }
    let dataset = |jobs| {
        let out = folder.path().join(format!("dataset-{jobs}"));
        let mut seen = Vec::new();
        let params = IngestParams { jobs, ..IngestParams::default() };
        ingest(std::slice::from_ref(&raw), &out, &params, &mut |progress| {
            seen.push((progress.runs_done, progress.bytes_done));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(seen.is_sorted() && seen.len() == 131 && seen[130].0 == 130);
        tree_bytes(&out)
    };
    let one = dataset(1);
    assert_eq!(one.len(), 15, "three parts");
    assert_eq!(one, dataset(4));
}

#[test]
fn a_run_too_large_to_be_held_is_read_twice_and_told_alike() {
    // With a bad line and a missing file, each of which is a problem once.
    let case = Case::new(|run| {
        let file = run.join("tenant-0.csv");
        fs::write(&file, fs::read_to_string(&file).unwrap() + "9,fast,1,1,1,1,1\n").unwrap();
        fs::remove_file(run.join("tenant-1.csv")).unwrap();
    });
    let (raw, streamed) = (case.folder.path().join("raw"), case.folder.path().join("streamed"));
    let report = ingest_with(&raw, &streamed, |params| params.held_bytes = 0).unwrap();
    assert_eq!(report.problems.total(), 2, "{:?}", report.problems.kept());
    assert_eq!(case.ingest().problems.total(), 2);
    assert_eq!(tree_bytes(&streamed), tree_bytes(&case.out()));
}

#[test]
fn the_large_tables_of_a_large_dataset_are_partitioned_by_server() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("dataset"));
    write_run(&raw.join("ours"), 0);
    write_prototype_run(&raw.join("theirs"));
    let ingest_on = |server: &str| {
        ingest_with(&raw, &out, |params| {
            params.partition_bytes = 0;
            params.server = server.to_owned();
        })
    };
    assert_eq!(ingest_on("lab 1").unwrap().added, 2);
    write_run(&raw.join("ours"), 1);
    assert_eq!(ingest_on("lab 1").unwrap().added, 1, "a dataset that is added to stays as it is");
    let files = tree_bytes(&out);
    for table in ["requests", "counters"] {
        for (server, parts) in [("server=edge", 2), ("server=lab%201", 1)] {
            let there = files.keys().filter(|file| file.starts_with(Path::new(table).join(server))).count();
            assert_eq!(there, parts, "{table}/{server}: {:?}", files.keys());
        }
    }
    assert!(files.keys().filter(|file| file.starts_with("tenants")).all(|file| file.components().count() == 2));

    let dataset = Dataset::open(&out).unwrap();
    let requests = |scan: neuro_data::store::Scan<RequestRecord>| {
        let mut rows = scan.rows().unwrap();
        let count = rows.by_ref().map(Result::unwrap).count();
        (count, rows.row_groups())
    };
    let (all, _) = requests(dataset.scan());
    let (ours, groups) = requests(dataset.scan().of_servers(["edge"]));
    let (theirs, _) = requests(dataset.scan().of_servers(["lab 1"]));
    assert_eq!((ours, groups), (140, (2, 0)), "files of another server are not opened");
    assert_eq!(all, ours + theirs);
}

#[test]
fn a_crash_or_an_interruption_leaves_the_old_dataset_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("dataset"));
    write_prototype_run(&raw.join("0001"));
    ingest_with(&raw, &out, |_| ()).unwrap();
    let before = tree_bytes(&out);
    write_prototype_run(&raw.join("0002"));
    let mut calls = 0;
    let stopped = ingest(std::slice::from_ref(&raw), &out, &IngestParams::default(), &mut |_| {
        calls += 1;
        if calls > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(tree_bytes(&out), before);
    assert!(!folder.path().join("dataset.partial").exists());

    // What a crash leaves beside it is cleared by the next.
    fs::create_dir_all(folder.path().join("dataset.partial/requests")).unwrap();
    fs::write(folder.path().join("dataset.partial/requests/part-00009.parquet"), b"half").unwrap();
    assert_eq!(ingest_with(&raw, &out, |_| ()).unwrap().added, 1);
    assert_eq!(Dataset::open(&out).unwrap().read::<RequestRecord>().unwrap().len(), 16);
    assert!(!folder.path().join("dataset.partial").exists());
}

#[test]
fn a_damaged_run_folder_of_ours_is_kept_as_far_as_it_can_be_read_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("dataset"));
    let damaged = write_run(&raw, 0);
    write_run(&raw, 1);
    fs::write(damaged.path().join("counters.parquet"), b"broken").unwrap();
    let report = ingest_with(&raw, &out, |_| ()).unwrap();
    assert_eq!((report.added, report.problems.total()), (2, 1));
    let runs = Dataset::open(&out).unwrap().read::<RunRow>().unwrap();
    let marked: Vec<_> = runs.iter().filter(|run| run.status == RunStatus::Invalid).collect();
    assert_eq!(marked.len(), 1);
    assert!(marked[0].reason.as_deref().unwrap().starts_with("its tables are damaged"), "{:?}", marked[0].reason);
    assert!(ingest_with(&raw, &out, |params| (params.strict, params.replace) = (true, true)).is_err());
    assert_eq!(Dataset::open(&out).unwrap().read::<RunRow>().unwrap().len(), 2);
}

#[test]
fn a_folder_of_other_things_is_not_taken_for_a_dataset() {
    let case = Case::new(|_| ());
    fs::create_dir_all(case.out()).unwrap();
    case.ingest();
    assert_eq!(case.tenants().len(), 2, "an empty folder is as good as none");

    let other = case.folder.path().join("home");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("thesis.tex"), "text").unwrap();
    for replace in [false, true] {
        let error =
            ingest_with(&case.folder.path().join("raw"), &other, |params| params.replace = replace).unwrap_err();
        assert!(error.to_string().contains("an empty folder"), "{error}");
    }
    assert!(other.join("thesis.tex").exists());
}

#[test]
fn a_dataset_of_other_columns_is_not_added_to() {
    let case = Case::new(|_| ());
    case.ingest();
    let part = case.out().join("tenants/part-00000.parquet");
    fs::copy(case.out().join("runs/part-00000.parquet"), &part).unwrap();
    write_prototype_run(&case.folder.path().join("raw/0008"));
    let error = ingest_with(&case.folder.path().join("raw"), &case.out(), |_| ()).unwrap_err().to_string();
    assert!(error.contains("tenants/part-00000.parquet") && error.contains("another version"), "{error}");
}
