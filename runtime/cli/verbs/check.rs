//! `station check`: what a station would say about a component, without a station.

use super::show::interfaces;
use crate::{config, out, problem, session, units};
use serde_json::{Value, json};
use station_api::Error;
use station_host::{CheckReport, EngineSettings};
use station_model::{Function, FunctionPath, Interface};
use std::{path::PathBuf, process::ExitCode};

const AFTER: &str = "\
The component is inspected and compiled in a child process with limits, as an upload would be; \
nothing of it runs.

Examples:
  station check target/hello.wasm
  station check target/hello.wasm --json | jq -r '.imports[].name'";

/// Inspect and compile a component without a station
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The component, a .wasm file
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print one JSON document on stdout, for a problem too
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Checks and prints.
    pub(crate) fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(anyhow::Error::new).and_then(|runtime| runtime.block_on(self.check()));
        session::ended(done, self.json)
    }

    async fn check(&self) -> anyhow::Result<()> {
        let readable = std::fs::File::open(&self.file);
        readable.map_err(|source| Error::File { path: self.file.clone(), source })?;
        let checked = station_host::check(&EngineSettings::default(), &config::worker(), &self.file).await;
        let report = checked.map_err(problem::failed)?;
        match self.json {
            true => out::json(&document(&report)?)?,
            false => out::line(&page(&report))?,
        }
        Ok(())
    }
}

fn document(report: &CheckReport) -> anyhow::Result<Value> {
    Ok(json!({
        "digest": report.digest,
        "size": report.size,
        "compile_ms": report.compile_ms,
        "metadata": serde_json::to_value(&report.metadata)?,
        "imports": report.world.imports.iter().map(interface).collect::<Vec<_>>(),
        "exports": report.world.exports.iter().map(interface).collect::<Vec<_>>(),
    }))
}

fn page(report: &CheckReport) -> String {
    let list = |all: &[Interface]| interfaces(&all.iter().map(interface).collect::<Vec<_>>());
    format!(
        "{}\n{}, compiled in {} ms\nimports:\n{}exports:\n{}",
        report.digest,
        units::about(report.size),
        report.compile_ms,
        list(&report.world.imports),
        list(&report.world.exports)
    )
}

/// As the admin API says it.
fn interface(interface: &Interface) -> station_api::Interface {
    let function = |function: &Function| station_api::Function {
        name: function.name.clone(),
        path: path(interface, function).to_string(),
        signature: signature(function),
    };
    station_api::Interface {
        name: interface.name.clone(),
        functions: interface.functions.iter().map(function).collect(),
    }
}

fn path(interface: &Interface, function: &Function) -> FunctionPath {
    let name = (!interface.root).then(|| interface.name.clone());
    FunctionPath { interface: name, function: function.name.clone() }
}

fn signature(function: &Function) -> String {
    let params: Vec<String> = function.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {ty}")).unwrap_or_default();
    format!("func({}){result}", params.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use station_model::Type;

    #[test]
    fn a_function_reads_as_in_wit_and_as_in_call() {
        let function = Function {
            name: "add".into(),
            params: vec![("a".into(), Type::U32), ("b".into(), Type::U32)],
            result: Some(Type::U32),
        };
        let name = "demo:calc/ops@1.0.0".parse().unwrap();
        let known = Interface { name, root: false, functions: vec![function], resources: vec![] };
        let told = interface(&known);
        assert_eq!(told.functions[0].signature, "func(a: u32, b: u32) -> u32");
        assert_eq!(told.functions[0].path, "demo:calc/ops@1.0.0#add");
    }
}
