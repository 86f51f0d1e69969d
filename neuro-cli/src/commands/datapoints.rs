//! `neuro data datapoints`: a dataset into training data.

use std::process::ExitCode;

use neuro_cli::output::{self, table};
use neuro_data::datapoint::{DatapointParams, DatapointSet, make};

use super::files::open_dataset;
use crate::args::{DatapointArgs, SetKind};

pub(crate) fn datapoints(args: DatapointArgs) -> anyhow::Result<ExitCode> {
    let params = DatapointParams {
        set: match args.set {
            SetKind::Ours => DatapointSet::Ours,
            SetKind::Reference => DatapointSet::Reference,
        },
        seed: args.seed.seed,
        subset_cap: args.subset_cap,
        same_rate: args.same_rate,
        zero_probability: args.zero,
        catalogue: args.catalogue.read()?,
    };
    let report = make(&open_dataset(&args.dataset)?, &params)?;
    let path = args.dataset.join(params.set.folder());
    if args.output.json {
        let object = serde_json::json!({ "datapoints": path, "report": report });
        output::print(&format!("{object}\n"));
    } else {
        let rows = report.points.iter().map(|(kind, count)| vec![kind.name().to_owned(), count.to_string()]);
        output::print(&table::render(&["kind", "datapoints"], rows));
        let (runs, censored) = (report.runs, report.censored);
        output::print(&format!("of {runs} complete runs, {censored} censored: {}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
