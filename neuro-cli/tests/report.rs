//! The report: its sections, and what a browser makes of it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn neuro(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_neuro")).args(arguments).current_dir(folder).output().unwrap()
}

fn done(arguments: &[&str], folder: &Path) -> String {
    let output = neuro(arguments, folder);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn examples(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path).display().to_string()
}

/// A folder with everything that a report shows: the sample dataset and its profiler judged, a comparison, a plan with its
/// instance, its audit, its trace and its replay. Returns the report's file.
fn everything(folder: &Path) -> PathBuf {
    let (dataset, sample) = (examples("data/dataset"), examples("data/bundles/sample"));
    done(&["evaluate", &dataset, &sample, "--out", "evaluation"], folder);
    let mut rows = Vec::new();
    for (servers, seed) in [(2, 1), (2, 2), (4, 1), (4, 2)] {
        for (method, revenue) in [("lns", 100.0), ("first-fit", 60.0)] {
            rows.push(json!({
                "scenario": "s1", "servers": servers, "requests": 15 * servers, "seed": seed, "method": method,
                "seconds": 0.5, "cpu_s": null, "revenue": revenue * f64::from(servers + seed), "bound": null, "gap": null,
                "served": 10 * servers, "violated": seed, "revenue_kept": revenue, "fault": null,
            }));
        }
    }
    std::fs::write(folder.join("scaling.json"), json!({ "rows": rows }).to_string()).unwrap();
    let bundles = ["edge-a", "edge-b"].map(|kind| format!("{kind}={}", examples(&format!("data/bundles/{kind}"))));
    done(&["requests", "--servers", "2", "--seed", "7", "--out", "instance.json"], folder);
    let profiles = ["--profile", &bundles[0], "--profile", &bundles[1]];
    let solve = ["solve", "--instance", "instance.json", "--method", "greedy", "--out", "plan.json"];
    done(&[&solve[..], &profiles].concat(), folder);
    let mut plan: Value = serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    plan["trace"] = json!([
        { "seconds": 0.1, "objective": null, "bound": 900.0 },
        { "seconds": 0.2, "objective": plan["objective"], "bound": 500.0 },
    ]);
    std::fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let replay =
        ["replay", "--plan", "plan.json", "--instance", "instance.json", "--duration", "20", "--out", "replay"];
    done(&replay, folder);
    done(&["report", ".", &dataset, "--out", "report.html", "--figures", "figures"], folder);
    folder.join("report.html")
}

#[test]
fn what_is_found_is_shown_and_the_browser_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let report = everything(folder.path());
    let html = std::fs::read_to_string(&report).unwrap();
    for shown in [
        "Noise floor",
        "Interference",
        "Contention curves",
        "Density of the relative error",
        "Median error by load",
        "Execution time",
        "Promises broken in replay",
        "Incumbent and bound over time",
        "each latency against its bound",
        "Requests that are not served, and why",
        "measured / bound",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    // The replay's copy of the plan is the same plan, and its dataset no campaign.
    assert_eq!(html.matches("<h2>Plan ").count(), 1);
    assert_eq!(html.matches("<h2>Campaign ").count(), 1);
    // Nothing is fetched: the only addresses are names of a vocabulary.
    assert_eq!(html.matches("http").count(), html.matches("http://www.w3.org/2000/svg").count());
    for picture in ["heatmap.svg", "curves.svg", "error-densities.svg", "scaling-seconds.svg", "trace.svg"] {
        let svg = std::fs::read_to_string(folder.path().join("figures").join(picture)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("<text"), "{picture}");
    }
    let Some(browser) = browser() else {
        // Not through the macro, whose output a passing test keeps to itself.
        let _ = std::io::stderr().write_all(b"the report was not opened in a browser: no chromium is installed\n");
        return;
    };
    let page = folder.path().join("checked.html");
    let hook = "<head><script>window.faults=[];addEventListener('error',e=>faults.push(e.message));</script>";
    let checks = format!("<script>{}</script></body>", include_str!("report_checks.js"));
    std::fs::write(&page, html.replacen("<head>", hook, 1).replacen("</body>", &checks, 1)).unwrap();
    for (width, dark) in [(390, false), (1200, true)] {
        let verdict = open(&browser, &page, width, dark, folder.path());
        assert_eq!(verdict["faults"], json!([]), "{width} px: {verdict}");
        assert_eq!(verdict["width"], json!(width), "{verdict}");
        assert_eq!(verdict["dark"], json!(dark), "{verdict}");
        assert!(verdict["tables"].as_u64().unwrap() >= 9 && verdict["pictures"].as_u64().unwrap() >= 20, "{verdict}");
    }
    let pdf = folder.path().join("report.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    let output = chromium(&browser, folder.path()).arg(print).arg(&report).output().unwrap();
    assert!(std::fs::metadata(&pdf).is_ok_and(|pdf| pdf.len() > 50_000), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_without_anything_to_show_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    let output = neuro(&["report", "."], folder.path());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("neuro evaluate --out") && output.stdout.is_empty(), "{complaint}");
    std::fs::write(folder.path().join("scaling.json"), "{\"rows\":[{}]}").unwrap();
    let output = neuro(&["report", "."], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("scaling.json"));
    assert!(!folder.path().join("report.html").exists());
}

/// Where Chromium is, if anywhere.
fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file())
}

fn chromium(browser: &Path, folder: &Path) -> Command {
    let mut command = Command::new(browser);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--enable-logging=stderr", "--no-first-run"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()));
    command
}

/// What the checks say of the page where it is so many pixels wide; the browser's console must stay silent. The page stands in a
/// frame, for a window of Chromium's is 500 pixels wide at least.
fn open(browser: &Path, page: &Path, width: u32, dark: bool, folder: &Path) -> Value {
    let scheme = u8::from(!dark);
    let frame = folder.join("frame.html");
    let html = format!(
        "<!DOCTYPE html><pre id=\"verdict\"></pre><script>addEventListener('message', message => {{ \
         document.getElementById('verdict').textContent = message.data; }});</script>\
         <iframe src=\"{}\" style=\"width:{width}px;height:844px;border:0\"></iframe>",
        page.file_name().unwrap().display()
    );
    std::fs::write(&frame, html).unwrap();
    let output = chromium(browser, folder)
        .args(["--window-size=1300,900", "--virtual-time-budget=20000"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg("--dump-dom")
        .arg(&frame)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!complaints.contains("CONSOLE"), "{complaints}");
    let document = String::from_utf8(output.stdout).unwrap();
    let verdict = document.split("<pre id=\"verdict\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let verdict = verdict.unwrap_or_else(|| unreachable!("no verdict in {} bytes; {complaints}", document.len()));
    serde_json::from_str(&verdict.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap()
}
