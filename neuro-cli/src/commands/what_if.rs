//! `neuro solve --what-if`: an instance with a change, and the difference that it makes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use neuro_cli::output::table;
use neuro_data::instance::{Instance, Request, Server};
use neuro_data::plan::Plan;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::files::{parse_json, read_text};

/// The instance with the changes, pairs of a word and what it is about; `None` without any.
pub(super) fn changed(instance: &Instance, changes: &[String]) -> anyhow::Result<Option<Instance>> {
    let mut changed = instance.clone();
    for pair in changes.chunks(2) {
        let [word, what] = pair else { continue };
        match word.as_str() {
            "add" => changed.requests.extend(one_or_many::<Request>(Path::new(what))?),
            "server" => {
                for server in one_or_many::<Server>(Path::new(what))? {
                    match changed.servers.iter_mut().find(|known| known.name == server.name) {
                        Some(known) => *known = server,
                        None => changed.servers.push(server),
                    }
                }
            }
            "drop" => {
                let before = (changed.requests.len(), changed.servers.len());
                changed.requests.retain(|request| request.id != *what);
                if changed.requests.len() == before.0 {
                    changed.servers.retain(|server| server.name != *what);
                }
                if (changed.requests.len(), changed.servers.len()) == before {
                    return Err(invalid(what, "a request or a server of the instance"));
                }
            }
            _ => return Err(invalid(word, "add, drop or server")),
        }
    }
    changed.validate().context("--what-if")?;
    Ok((!changes.is_empty()).then_some(changed))
}

fn invalid(value: &str, expected: &'static str) -> anyhow::Error {
    neuro_data::Error::Invalid { field: "--what-if".to_owned(), value: value.to_owned(), expected }.into()
}

/// One of them, or a list, from a JSON file.
fn one_or_many<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = read_text(path)?;
    let list = if text.trim_start().starts_with('[') { text } else { format!("[{text}]") };
    parse_json(path, &list)
}

/// What is different between two plans.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    /// Revenue more.
    revenue: f64,
    /// Requests that are served with the change only, and where.
    enters: BTreeMap<String, String>,
    /// Requests that are served without it only, and where.
    leaves: BTreeMap<String, String>,
    /// Requests that are served on other servers: from where, to where.
    moves: BTreeMap<String, [String; 2]>,
}

impl Difference {
    fn of(base: &Plan, plan: &Plan) -> Self {
        let (before, after) = (places(base), places(plan));
        let only = |of: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            of.iter().filter(|(id, _)| !other.contains_key(*id)).map(|(id, s)| (id.clone(), s.clone())).collect()
        };
        let both = before.iter().filter_map(|(id, from)| Some((id, from, after.get(id)?)));
        let moved = both.filter(|(_, from, to)| from != to);
        Self {
            revenue: plan.objective - base.objective,
            enters: only(&after, &before),
            leaves: only(&before, &after),
            moves: moved.map(|(id, from, to)| (id.clone(), [from.clone(), to.clone()])).collect(),
        }
    }
}

/// The servers of each request that is served.
fn places(plan: &Plan) -> BTreeMap<String, String> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for assignment in &plan.assignments {
        places.entry(assignment.request.clone()).or_default().push(&assignment.server);
    }
    places.into_iter().map(|(request, servers)| (request, servers.join(", "))).collect()
}

pub(super) fn to_json(base: &Plan, plan: &Plan) -> anyhow::Result<String> {
    let difference = Difference::of(base, plan);
    let value = json!({ "base": base, "changed": plan, "difference": difference });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

pub(super) fn to_text(base: &Plan, plan: &Plan) -> String {
    let difference = Difference::of(base, plan);
    let row = |what: &str, id: &str, from: &str, to: &str| [what, id, from, to].map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    rows.extend(difference.enters.iter().map(|(id, to)| row("enters", id, "–", to)));
    rows.extend(difference.leaves.iter().map(|(id, from)| row("leaves", id, from, "–")));
    rows.extend(difference.moves.iter().map(|(id, [from, to])| row("moves", id, from, to)));
    let mut text = String::new();
    if !rows.is_empty() {
        text += &table::render(&["", "request", "from", "to"], rows);
    }
    let served = |plan: &Plan| places(plan).len();
    text += &format!(
        "{}: revenue {:.2} → {:.2} ({:+.2}), {} → {} requests served\n",
        plan.method,
        base.objective,
        plan.objective,
        difference.revenue,
        served(base),
        served(plan),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let text = r#"{"servers":[{"name":"edge-1","kind":"a","memory_gb":8},{"name":"edge-2","kind":"a","memory_gb":8}],
            "requests":[{"id":"r1","app":"x","instances":1,"rate":1,"payment":1,"delay_s":1,"sla":"mean"}]}"#;
        Instance::from_json(text).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn an_instance_changes_as_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        assert_eq!(changed(&instance(), &[]).unwrap(), None);
        let request = r#"{"id":"r2","app":"x","instances":2,"rate":1,"payment":1,"delay_s":1,"sla":"p95"}"#;
        let (one, many) = (file("one", request), file("many", &format!("[{}]", request.replace("r2", "r3"))));
        let more = changed(&instance(), &words(&["add", &one, "add", &many, "drop", "r1"])).unwrap().unwrap();
        let ids: Vec<_> = more.requests.iter().map(|request| request.id.as_str()).collect();
        assert_eq!(ids, ["r2", "r3"]);
        let larger = file("server", r#"{"name":"edge-1","kind":"a","memory_gb":64}"#);
        let more = changed(&instance(), &words(&["server", &larger, "drop", "edge-2"])).unwrap().unwrap();
        assert_eq!((more.servers.len(), more.servers[0].memory_gb), (1, 64.0));
        for (change, word) in
            [(["drop", "r9"], "r9"), (["remove", "r1"], "add, drop or server"), (["add", &larger], "unknown field")]
        {
            let error = format!("{:#}", changed(&instance(), &words(&change)).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        let twice = file("twice", &request.replace("r2", "r1"));
        assert!(
            format!("{:#}", changed(&instance(), &words(&["add", &twice])).unwrap_err()).contains("requests[1].id")
        );
    }

    #[test]
    fn the_difference_names_who_comes_goes_and_moves() {
        let plan = |objective: f64, assignments: &[(&str, &str)]| Plan {
            method: "lns".into(),
            objective,
            bound: None,
            gap: None,
            seconds: 0.0,
            termination: "completed".into(),
            assignments: assignments
                .iter()
                .map(|(request, server)| neuro_data::plan::Assignment {
                    request: (*request).into(),
                    server: (*server).into(),
                    instances: 1,
                })
                .collect(),
            rejected: Vec::new(),
            audit: None,
            trace: Vec::new(),
        };
        let base = plan(3.0, &[("r1", "s1"), ("r2", "s1"), ("r3", "s2")]);
        let text = to_text(&base, &plan(4.5, &[("r1", "s2"), ("r3", "s2"), ("r4", "s1")]));
        for word in ["enters", "r4", "leaves", "r2", "moves", "r1", "3.00 → 4.50 (+1.50)", "3 → 3 requests"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("r3"));
    }
}
