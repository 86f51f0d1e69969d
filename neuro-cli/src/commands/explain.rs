//! `neuro explain`: why requests are rejected, and what would admit them.

use std::process::ExitCode;

use neuro_cli::output;
use neuro_opt::placement::{self, Explanation, Finding, Problem};
use serde_json::json;

use crate::args::ExplainArgs;

pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let (plan, instance) = args.plan.read()?;
    let profiles = args.profiles.read()?;
    let problem = Problem::new(&instance, &profiles, &args.catalogue.read()?)?;
    let audit = placement::audit(&problem, &plan)?;
    let is_promise = |finding: &&Finding| matches!(finding, Finding::Promise { .. });
    let mut explanations = placement::explain(&problem, &plan).map_err(|error| match error {
        neuro_opt::Error::FailedAudit { finding } => {
            let reason = format!("it does not answer {}: {finding}", args.plan.of.instance.display());
            anyhow::Error::from(neuro_data::Error::Malformed { path: args.plan.plan.clone(), reason })
        }
        error => error.into(),
    })?;
    if let Some(id) = &args.request {
        if !instance.requests.iter().any(|request| request.id == *id) {
            let expected = "a request of the instance";
            return Err(neuro_data::Error::Invalid { field: "--request".into(), value: id.clone(), expected }.into());
        }
        explanations.retain(|explanation| explanation.request == *id);
    }
    if args.output.json {
        output::print(&(json!({ "requests": explanations }).to_string() + "\n"));
        return Ok(ExitCode::SUCCESS);
    }
    explanations.iter().for_each(|explanation| output::print(&to_text(explanation)));
    if explanations.is_empty() {
        let who = args.request.as_deref().map_or("every request".to_owned(), |id| format!("request {id}"));
        output::print(&format!("{who} is served\n"));
    }
    let broken = audit.findings.iter().filter(is_promise).count();
    if broken > 0 {
        output::print(&format!("The plan breaks {broken} promises as it is: see neuro audit.\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn to_text(explanation: &Explanation) -> String {
    let Explanation { request, code, detail, payment, bound, memory } = explanation;
    let mut text = format!("{request} ({code:?}): {detail}\n");
    match payment {
        None => text += "  payment  none would make room\n",
        Some(change) if change.displaced.is_empty() => {
            text += &format!("  payment  as it is: there is room on {}\n", change.server);
        }
        Some(change) => {
            let who = change.displaced.join(", ");
            let proved = if change.proved { "" } else { " (perhaps less: not all sets were tried)" };
            text += &format!(
                "  payment  {:.2} → {:.2}, in place of {who} on {}{proved}\n",
                change.from, change.to, change.server
            );
            if change.to < change.from {
                text += "           it pays more than those: another plan is better\n";
            }
        }
    }
    match bound {
        None => text += "  bound    none would do: memory or a neighbour is in the way everywhere\n",
        Some(change) if change.to_s <= change.from_s => text += &format!("  bound    as it is on {}\n", change.server),
        Some(change) => {
            // Rounded up: less would not do.
            let to_s = (change.to_s * 1e6).ceil() / 1e6;
            text += &format!("  bound    {} s → {to_s:.6} s on {}\n", change.from_s, change.server);
        }
    }
    match memory {
        None => text += "  memory   none would do: a promise is in the way everywhere\n",
        Some(change) if change.extra_gb == 0.0 => text += &format!("  memory   as it is on {}\n", change.server),
        Some(change) => text += &format!("  memory   {:.2} GB more on {}\n", change.extra_gb, change.server),
    }
    text
}
