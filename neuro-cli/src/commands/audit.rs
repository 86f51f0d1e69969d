//! `neuro audit`: a plan evaluated from scratch, and what proves its bound checked.

use std::path::Path;
use std::process::ExitCode;

use neuro_cli::output::{self, table};
use neuro_data::plan::Plan;
use neuro_opt::placement::{self, Audit, Certificate, Problem};

use super::files::read_json;
use crate::args::AuditArgs;

pub(crate) fn audit(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let (plan, instance) = args.plan.read()?;
    let profiles = args.profiles.read()?;
    let problem = Problem::new(&instance, &profiles, &args.catalogue.read()?)?;
    let audit = placement::audit(&problem, &plan)?;
    let proved = args.certificate.as_deref().map(|path| proved(&problem, &plan, path)).transpose()?;
    if args.output.json {
        let mut value = serde_json::to_value(&audit)?;
        if let Some(bound) = proved {
            value["proved_bound"] = bound.into();
        }
        output::print(&(value.to_string() + "\n"));
    } else {
        output::print(&promises(&audit));
        for finding in &audit.findings {
            output::print(&format!("{finding}\n"));
        }
        let verdict = if audit.holds() { "the plan holds" } else { "the plan does not hold" };
        output::print(&format!("revenue {:.2}; {verdict}\n", audit.revenue));
        if let Some(bound) = proved {
            output::print(&format!(
                "no placement of whole requests has more than {bound:.4}: the certificate proves it\n"
            ));
        }
    }
    Ok(if audit.holds() { ExitCode::SUCCESS } else { ExitCode::from(super::FINDINGS) })
}

/// The bound that a certificate proves, which is no looser than what the plan says.
fn proved(problem: &Problem<'_>, plan: &Plan, path: &Path) -> anyhow::Result<f64> {
    let certificate: Certificate = read_json(path)?;
    let bound = placement::check_certificate(problem, &certificate)?;
    let stated = plan.bound.unwrap_or(f64::INFINITY);
    anyhow::ensure!(
        bound <= stated + 1e-6 * stated.abs().max(1.0),
        "the plan says that no placement has more than {stated}, the certificate proves {bound} only",
    );
    Ok(bound)
}

pub(super) fn promises(audit: &Audit) -> String {
    let rows = audit.promises.iter().map(|promise| {
        let share = 100.0 * promise.promise_s / promise.delay_s;
        vec![
            promise.server.clone(),
            promise.request.clone(),
            promise.sla.name().to_owned(),
            format!("{:.4}", promise.promise_s),
            format!("{:.4}", promise.delay_s),
            format!("{share:.0}"),
        ]
    });
    table::render(&["server", "request", "sla", "with margin (s)", "bound (s)", "% of bound"], rows)
}
