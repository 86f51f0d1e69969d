//! `neuro demo`: the whole way on simulated servers, command by command.

use std::process::ExitCode;

use clap::Parser;
use neuro_cli::output;

use super::execute;
use crate::args::{Args, DemoArgs};

/// What each step is about, and its command; `OUT`, `SEED`, the `NEXT` seed and `RUNS` are filled in.
const STEPS: [(&str, &str); 19] = [
    (
        "How much do services slow one another down? Every pair of five services shares a simulated server.",
        "neuro run pairwise --target sim --apps kalman-gru,tclf-rf,tstr-lstm,text-bert,iclf-mnet --instances 4,8 --rates 1,2,4 \
         --duration 300 --seed SEED --out OUT/pairwise",
    ),
    (
        "Random tenants fill a server of the better kind, wholly or in part: data to learn from.",
        "neuro run random --target sim --kind edge-a --runs RUNS --partly 0.5 --duration 300 --seed SEED --out OUT/edge-a",
    ),
    (
        "The same on the slower kind.",
        "neuro run random --target sim --kind edge-b --runs RUNS --partly 0.5 --duration 300 --seed NEXT --out OUT/edge-b",
    ),
    (
        "A profiler learns to predict the service times of any mix.",
        "neuro train OUT/edge-a/dataset --out OUT/profiler-a",
    ),
    ("One for the slower kind, too.", "neuro train OUT/edge-b/dataset --out OUT/profiler-b"),
    ("Something to compare it with: boosted trees.", "neuro train OUT/edge-a/dataset --arch trees --out OUT/trees"),
    (
        "How far off are they on runs that they have not seen?",
        "neuro evaluate OUT/edge-a/dataset OUT/profiler-a OUT/trees --out OUT/evaluation",
    ),
    (
        "Thirty requests ask for admission to two servers, each with a payment and a bound on its latency.",
        "neuro requests --scenario s1 --servers 2 --seed SEED --out OUT/instance.json",
    ),
    (
        "Who is served, and where, for the most revenue under the promises?",
        "neuro solve --instance OUT/instance.json --profile edge-a=OUT/profiler-a --profile edge-b=OUT/profiler-b \
         --time-limit 5s --seed SEED --out OUT/plan.json",
    ),
    (
        "The plan put to the test: are the promises kept when it runs?",
        "neuro replay --plan OUT/plan.json --instance OUT/instance.json --target sim --duration 300 --seed SEED --out OUT/replay",
    ),
    (
        "Many are not: a search goes just where a profiler is too hopeful, in mixes that random runs seldom hold. So run what it \
         chooses for other instances,",
        "neuro run planned --target sim --profile edge-a=OUT/profiler-a --profile edge-b=OUT/profiler-b --plans 60 --duration 300 \
         --seed SEED --out OUT/planned",
    ),
    (
        "put that beside the random runs, for the one kind of server",
        "neuro ingest OUT/planned/runs OUT/edge-a/runs --out OUT/data-a",
    ),
    ("and for the other,", "neuro ingest OUT/planned/runs OUT/edge-b/runs --out OUT/data-b"),
    ("and learn again, here", "neuro train OUT/data-a --server edge-a --all-kinds --out OUT/learned-a"),
    ("and there.", "neuro train OUT/data-b --server edge-b --all-kinds --out OUT/learned-b"),
    (
        "The same thirty requests once more. (Another round or two would help further.)",
        "neuro solve --instance OUT/instance.json --profile edge-a=OUT/learned-a --profile edge-b=OUT/learned-b \
         --time-limit 5s --seed SEED --out OUT/better-plan.json",
    ),
    (
        "The plan, re-evaluated from scratch,",
        "neuro audit --plan OUT/better-plan.json --instance OUT/instance.json --profile edge-a=OUT/learned-a \
         --profile edge-b=OUT/learned-b",
    ),
    (
        "and put to the test.",
        "neuro replay --plan OUT/better-plan.json --instance OUT/instance.json --target sim --duration 300 --seed SEED \
         --out OUT/better-replay",
    ),
    (
        "All of it on one page.",
        "neuro report OUT/pairwise OUT/evaluation OUT/replay OUT/better-replay --out OUT/report.html",
    ),
];

pub(crate) fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    for (place, (about, command)) in STEPS.iter().enumerate() {
        let words: Vec<String> = command.split_whitespace().map(|word| filled(word, args)).collect();
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        output::print(&format!("\n[{} of {}] {about}\n$ {}\n", place + 1, STEPS.len(), line.join(" ")));
        let code = execute(Args::try_parse_from(words)?)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filled(word: &str, args: &DemoArgs) -> String {
    let word =
        word.replace("NEXT", &args.seed.seed.wrapping_add(1).to_string()).replace("SEED", &args.seed.seed.to_string());
    let word = word.replace("RUNS", &args.runs.to_string());
    word.replace("OUT", &args.out.display().to_string())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::SeedArgs;

    #[test]
    fn every_step_is_a_command_even_in_a_folder_with_an_odd_name() {
        let args = DemoArgs { out: "my demo's".into(), seed: SeedArgs { seed: 3 }, runs: 7 };
        for (about, command) in STEPS {
            let words: Vec<String> = command.split_whitespace().map(|word| filled(word, &args)).collect();
            Args::try_parse_from(&words).unwrap_or_else(|e| unreachable!("{about}: {e}"));
        }
        assert_eq!(quoted("my demo's/a"), r"'my demo'\''s/a'");
    }
}
