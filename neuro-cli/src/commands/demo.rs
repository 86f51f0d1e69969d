//! `neuro demo`: the whole way on simulated servers, command by command.

use std::process::ExitCode;

use clap::Parser;
use neuro_cli::output;

use super::execute;
use crate::args::{Args, DemoArgs};

/// What each step is about, and its command; `OUT`, `SEED`, seeds after it and `RUNS` are filled in.
const STEPS: [(&str, &str); 25] = [
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
        "neuro run random --target sim --kind edge-b --runs RUNS --partly 0.5 --duration 300 --seed SEED+1 --out OUT/edge-b",
    ),
    (
        "A profiler learns to predict the service times of any mix, and that more load is never faster.",
        "neuro train OUT/edge-a/dataset --monotone --out OUT/profiler-a",
    ),
    ("One for the slower kind, too.", "neuro train OUT/edge-b/dataset --monotone --out OUT/profiler-b"),
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
        "More are broken than was said: a search goes just where a profiler is too hopeful, in mixes that random runs seldom hold. So run \
         what it chooses for other instances of the kind,",
        "neuro run planned --target sim --scenarios s1 --servers 8 --plans 60 --duration 300 --seed SEED+1 \
         --profile edge-a=OUT/profiler-a --profile edge-b=OUT/profiler-b --out OUT/planned-1",
    ),
    (
        "put that beside the random runs,",
        "neuro ingest OUT/planned-1/runs OUT/edge-a/runs OUT/edge-b/runs --out OUT/data",
    ),
    (
        "and learn again, for the one kind of server",
        "neuro train OUT/data --server edge-a --all-kinds --monotone --out OUT/learned-a",
    ),
    ("and for the other.", "neuro train OUT/data --server edge-b --all-kinds --monotone --out OUT/learned-b"),
    (
        "Now it chooses otherwise. Once more:",
        "neuro run planned --target sim --scenarios s1 --servers 8 --plans 60 --duration 300 --seed SEED+2 \
         --profile edge-a=OUT/learned-a --profile edge-b=OUT/learned-b --out OUT/planned-2",
    ),
    ("beside what is there,", "neuro ingest OUT/planned-2/runs --out OUT/data"),
    ("and learned from, here", "neuro train OUT/data --server edge-a --all-kinds --monotone --out OUT/learned-a"),
    ("and there.", "neuro train OUT/data --server edge-b --all-kinds --monotone --out OUT/learned-b"),
    (
        "How far may it be trusted? Its last plans are run for the margins alone.",
        "neuro run planned --target sim --scenarios s1 --servers 8 --plans 60 --duration 300 --seed SEED+3 \
         --profile edge-a=OUT/learned-a --profile edge-b=OUT/learned-b --out OUT/planned-3",
    ),
    (
        "Margins of what the search chooses, here",
        "neuro train OUT/planned-3/dataset --server edge-a --margins-of OUT/learned-a --out OUT/ready-a",
    ),
    ("and there.", "neuro train OUT/planned-3/dataset --server edge-b --margins-of OUT/learned-b --out OUT/ready-b"),
    (
        "The same thirty requests once more.",
        "neuro solve --instance OUT/instance.json --profile edge-a=OUT/ready-a --profile edge-b=OUT/ready-b \
         --time-limit 5s --seed SEED --out OUT/better-plan.json",
    ),
    (
        "The plan, re-evaluated from scratch,",
        "neuro audit --plan OUT/better-plan.json --instance OUT/instance.json --profile edge-a=OUT/ready-a \
         --profile edge-b=OUT/ready-b",
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
    let later = (1..=3).fold(word.to_owned(), |word, k: u64| {
        word.replace(&format!("SEED+{k}"), &args.seed.seed.wrapping_add(k).to_string())
    });
    let word = later.replace("SEED", &args.seed.seed.to_string()).replace("RUNS", &args.runs.to_string());
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
