//! `neuro apps` and `neuro app serve`.

use std::io::Write;
use std::process::ExitCode;

use neuro_apps::registry::Registry;
use neuro_apps::server::ServeArgs;
use neuro_cli::output::{self, table};
use neuro_data::{Catalogue, LoadClass};

pub(crate) fn list(catalogue: &Catalogue, json: bool) -> anyhow::Result<ExitCode> {
    let registry = Registry::built_in();
    let served = |id: &str| registry.find(id).is_ok();
    if json {
        let apps: Vec<_> = catalogue
            .apps()
            .iter()
            .map(|app| serde_json::json!({"application": app, "served": app.command.is_some() || served(&app.id)}))
            .collect();
        output::print(&format!("{}\n", serde_json::json!({ "apps": apps })));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = catalogue.apps().iter().map(|app| {
        let load = match app.load {
            LoadClass::Low => "low",
            LoadClass::High => "high",
        };
        let how = match &app.command {
            Some(command) => command.first().cloned().unwrap_or_default(),
            None if served(&app.id) => "built in".to_owned(),
            None => "not in this build".to_owned(),
        };
        vec![
            app.id.clone(),
            app.description.clone(),
            app.batch.to_string(),
            format!("{} GB", app.memory_gb),
            load.into(),
            how,
        ]
    });
    output::print(&table::render(&["id", "what it runs", "batch", "memory", "load", "service"], rows));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    neuro_apps::process::ensure_compute_threads(args.threads)?;
    neuro_apps::server::serve(args, &Registry::built_in(), |listening| {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", serde_json::json!(listening)).and_then(|()| out.flush());
    })?;
    Ok(ExitCode::SUCCESS)
}
