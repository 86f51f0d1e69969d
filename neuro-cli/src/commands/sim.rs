//! `neuro sim`: the parameters of simulated servers.

use std::ops::ControlFlow;
use std::process::ExitCode;

use neuro_cli::output::{self, table};
use neuro_cli::{WorkProgress, interrupt_on_ctrl_c};
use neuro_data::Error;
use neuro_data::files::write_atomic;
use neuro_k8s::sim::BUILT_IN;
use neuro_k8s::sim::calibration::{Accuracy, Calibration, CalibrationParams, calibrate as fit};

use super::files::open_dataset;
use crate::args::{CalibrateArgs, SimCommand};

pub(crate) fn sim(command: SimCommand) -> anyhow::Result<ExitCode> {
    match command {
        SimCommand::Parameters => output::print(BUILT_IN),
        SimCommand::Calibrate(args) => calibrate(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn calibrate(args: &CalibrateArgs) -> anyhow::Result<()> {
    let params = CalibrationParams {
        kind: args.kind.clone(),
        cores: args.cores,
        seed: args.seed.seed,
        ..CalibrationParams::default()
    };
    let interrupt = interrupt_on_ctrl_c()?;
    let mut bar = WorkProgress::new("fits");
    let calibration = fit(&open_dataset(&args.data)?, &params, &mut |progress| {
        bar.show(progress.done, progress.steps, progress.done as u64, progress.steps as u64);
        if interrupt.stops_after_run() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(bar);
    write_atomic(&args.out, calibration.params.to_toml()?.as_bytes())?;
    let report = report(&calibration);
    if let Some(path) = &args.report {
        let text = serde_json::to_vec_pretty(&report)
            .map_err(|e| Error::Malformed { path: path.clone(), reason: e.to_string() })?;
        write_atomic(path, &text)?;
    }
    if args.output.json {
        output::print(&format!("{report}\n"));
    } else {
        output::print(&to_text(&calibration));
        output::print(&format!("parameters: {}\n", args.out.display()));
    }
    Ok(())
}

fn report(calibration: &Calibration) -> serde_json::Value {
    serde_json::json!({
        "loss_before": calibration.loss.0,
        "loss_after": calibration.loss.1,
        "fitted_runs": calibration.fitted_runs,
        "fitted": calibration.fitted,
        "held_out_runs": calibration.held_out_runs,
        "held_out": calibration.held_out,
    })
}

fn to_text(calibration: &Calibration) -> String {
    let of = |rows: &[Accuracy]| {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let rows = rows.iter().map(|row| {
            vec![
                row.app.clone(),
                row.statistic.name().to_owned(),
                row.tenants.to_string(),
                percent(row.median),
                percent(row.p90),
                percent(row.signed_median),
                percent(row.uncontended_median),
                row.noise_floor.map_or("–".to_owned(), percent),
            ]
        });
        let header = ["app", "statistic", "tenants", "median", "p90", "signed", "if alone", "noise floor"];
        table::render(&header, rows)
    };
    let Calibration { loss, fitted_runs, fitted, held_out_runs, held_out, .. } = calibration;
    format!(
        "loss {:.3} at the start, {:.3} fitted\n\nError of the simulation on the {fitted_runs} pairwise runs that it was \
         fitted to:\n{}\non the {held_out_runs} random runs that were held out:\n{}",
        loss.0,
        loss.1,
        of(fitted),
        of(held_out)
    )
}
