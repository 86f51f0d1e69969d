//! `neuro report`: what lies in some folders, as one HTML file.

use std::process::ExitCode;

use neuro_cli::output;
use neuro_cli::report::{Inputs, Report};
use neuro_data::files::write_atomic;

use crate::args::ReportArgs;

pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let report = Report::of(&Inputs::find(&args.folders)?, &args.title)?;
    write_atomic(&args.out, report.html().as_bytes())?;
    let mut written = vec![args.out.clone()];
    if let Some(folder) = &args.figures {
        written.extend(report.write_figures(folder)?);
    }
    if args.output.json {
        output::print(&format!("{}\n", serde_json::json!({ "written": written })));
    } else {
        for path in written {
            output::print(&format!("written: {}\n", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
