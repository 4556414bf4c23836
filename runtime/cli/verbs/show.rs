//! `station show`: everything about one module, its functions as `station call` takes them.

use super::deploy::waiting;
use crate::{
    out,
    session::{Ask, Connection, Session},
    units::{Bytes, Count, Millis},
};
use station_api::{GraphEdge, Interface, Limits, Metadata, Module, Route};

const AFTER: &str = "\
Examples:
  station show dossiers
  station show dossiers --json | jq '.exports[].functions[].path'";

/// Show a module: state, imports, exports, grants, links, limits
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let module = session.client.module(&self.module).await?;
        session.answer(&module, page)?;
        Ok(())
    }
}

/// A module for people; what is empty is left out.
pub(crate) fn page(module: &Module) -> String {
    let summary = &module.summary;
    let mut facts = vec![["name".to_owned(), summary.name.to_string()]];
    facts.push(["state".to_owned(), summary.state.as_str().to_owned()]);
    facts.extend(summary.failure.iter().map(|f| ["because".to_owned(), format!("{}: {}", f.code, f.detail)]));
    facts.extend(summary.digest.iter().map(|digest| ["digest".to_owned(), digest.to_string()]));
    facts.extend(metadata(&module.metadata));
    facts.push(["revisions".to_owned(), summary.revisions.to_string()]);
    facts.push(["calls".to_owned(), format!("{}, {} failed", Count(summary.calls), Count(summary.failures))]);
    facts.push(["fuel".to_owned(), Count(summary.fuel).to_string()]);
    facts.extend(limits(&module.limits));
    let links = module.links.iter().map(|(interface, provider)| format!("  {interface} from {provider}\n"));
    [
        out::table(["", ""], facts),
        part("waiting for", waiting(&summary.waiting_for)),
        part("imports", interfaces(&module.imports)),
        part("exports", interfaces(&module.exports)),
        part("grants", module.grants.iter().map(|grant| format!("  {grant}\n")).collect()),
        part("links", links.collect()),
        part("calls", module.linked.iter().map(call).collect()),
        part("routes", module.routes.iter().map(route).collect()),
        part("config", module.config_keys.iter().map(|key| format!("  {key}\n")).collect()),
    ]
    .concat()
}

/// An import that another module meets, and how values move there.
fn call(link: &GraphEdge) -> String {
    let why = link.lane_reason.iter().map(|why| format!(", because of {why}"));
    format!("  {} in {}, {} lane{}\n", link.exported, link.provider, link.lane, why.collect::<String>())
}

fn part(title: &str, text: String) -> String {
    match text.is_empty() {
        true => text,
        false => format!("{title}:\n{text}"),
    }
}

fn metadata(metadata: &Metadata) -> Vec<[String; 2]> {
    let facts = [
        ("component", &metadata.name),
        ("version", &metadata.version),
        ("about", &metadata.description),
        ("licence", &metadata.licence),
        ("source", &metadata.source),
    ];
    let mut facts: Vec<_> =
        facts.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?])).collect();
    if !metadata.producers.is_empty() {
        facts.push(["made by".to_owned(), metadata.producers.join(", ")]);
    }
    facts
}

fn limits(limits: &Limits) -> Vec<[String; 2]> {
    let facts = [
        ("limit fuel", limits.fuel.map(|v| Count(v).to_string())),
        ("limit deadline", limits.deadline_ms.map(|v| Millis(v).to_string())),
        ("limit memory", limits.memory_bytes.map(|v| Bytes(v).to_string())),
        ("limit instances", limits.instances_max.map(|v| v.to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).collect()
}

fn route(route: &Route) -> String {
    format!("  {}{}\n", route.host.as_deref().unwrap_or("*"), route.path.as_deref().unwrap_or("/"))
}

/// Interfaces with their functions. An interface of types only has none.
pub(crate) fn interfaces(interfaces: &[Interface]) -> String {
    let functions = |interface: &Interface| -> String {
        interface.functions.iter().map(|f| format!("    {}: {}\n", f.name, f.signature)).collect()
    };
    interfaces.iter().map(|interface| format!("  {}\n{}", interface.name, functions(interface))).collect()
}
