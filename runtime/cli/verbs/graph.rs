//! `station graph`: who provides what to whom, as text, Mermaid, Graphviz or JSON.

use super::deploy::waiting;
use crate::{
    out,
    session::{Ask, Connection, Session},
};
use station_api::{Graph, GraphEdge, GraphNode, State};
use std::collections::BTreeMap;

const AFTER: &str = "\
Examples:
  station graph
  station graph --format mermaid > graph.mmd
  station graph --format dot | dot -Tsvg > graph.svg
  station graph --format json        # the same as --json";

/// Show which module provides which interface to whom
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

/// How a graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Indented lines.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
    /// The document of the admin API.
    Json,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let graph = session.client.graph().await?;
        match (session.json, self.format) {
            (true, _) | (_, Format::Json) => out::json(&graph)?,
            (_, Format::Text) => session.answer(&graph, text)?,
            (_, Format::Mermaid) => out::line(&mermaid(&graph))?,
            (_, Format::Dot) => out::line(&dot(&graph))?,
        }
        Ok(())
    }
}

fn text(graph: &Graph) -> String {
    let node = |node: &GraphNode| {
        let links = graph.links.iter().filter(|link| link.importer == node.name);
        let links: String = links.map(link).collect();
        format!("{} ({})\n{links}{}", node.name, node.state.as_str(), waiting(&node.waiting_for))
    };
    graph.modules.iter().map(node).collect()
}

fn link(link: &GraphEdge) -> String {
    let why = link.lane_reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("  {} from {}, {} lane{why}\n", link.interface, link.provider, link.lane)
}

/// Edges between the same two modules are one arrow with several names.
fn arrows(graph: &Graph) -> BTreeMap<(&str, &str), Vec<String>> {
    let mut arrows: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for GraphEdge { importer, provider, interface, .. } in &graph.links {
        arrows.entry((importer.as_str(), provider.as_str())).or_default().push(interface.to_string());
    }
    arrows
}

/// Names are made of a-z, 0-9 and - and interfaces of little more, so neither can break out of its quotes. A node's
/// id has a prefix because `end` and other names are words of Mermaid.
fn mermaid(graph: &Graph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for node in &graph.modules {
        let style = if node.state == State::Ready { "" } else { ":::waiting" };
        text.push_str(&format!("  m-{}[\"{}\"]{style}\n", node.name, node.name));
    }
    for ((importer, provider), interfaces) in arrows(graph) {
        text.push_str(&format!("  m-{importer} -->|\"{}\"| m-{provider}\n", interfaces.join("<br/>")));
    }
    text.push_str("  classDef waiting stroke-dasharray: 5 5\n");
    text
}

fn dot(graph: &Graph) -> String {
    let mut text = "digraph station {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for node in &graph.modules {
        let style = if node.state == State::Ready { "" } else { " [style=dashed]" };
        text.push_str(&format!("  \"{}\"{style};\n", node.name));
    }
    for ((importer, provider), interfaces) in arrows(graph) {
        text.push_str(&format!("  \"{importer}\" -> \"{provider}\" [label=\"{}\"];\n", interfaces.join("\\n")));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph() -> Graph {
        let waiting =
            json!({ "interface": "a:b/d", "reason": "no_provider", "detail": "nobody exports it", "candidates": [] });
        serde_json::from_value(json!({
            "modules": [
                { "name": "audit", "state": "ready", "waiting_for": [], "digest": null, "imports": [], "exports": ["a:b/c"] },
                { "name": "portal", "state": "waiting", "waiting_for": [waiting], "digest": null, "imports": ["a:b/c"], "exports": [] },
            ],
            "links": [
                { "importer": "portal", "interface": "a:b/c@1.0.0", "provider": "audit", "exported": "a:b/c@1.1.0", "lane": "raw" },
                { "importer": "portal", "interface": "a:b/e", "provider": "audit", "exported": "a:b/e",
                  "lane": "dynamic", "lane_reason": "f: there is no plan for map" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_graph_is_readable() {
        let expected = "\
audit (ready)
portal (waiting)
  a:b/c@1.0.0 from audit, raw lane
  a:b/e from audit, dynamic lane (f: there is no plan for map)
  a:b/d: nobody exports it (no_provider)
";
        assert_eq!(text(&graph()), expected);
    }

    #[test]
    fn a_graph_is_a_drawing() {
        let expected = "\
flowchart LR
  m-audit[\"audit\"]
  m-portal[\"portal\"]:::waiting
  m-portal -->|\"a:b/c@1.0.0<br/>a:b/e\"| m-audit
  classDef waiting stroke-dasharray: 5 5
";
        assert_eq!(mermaid(&graph()), expected);
        assert!(dot(&graph()).contains("\"portal\" -> \"audit\" [label=\"a:b/c@1.0.0\\na:b/e\"];"));
    }
}
