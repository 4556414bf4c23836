//! The lists of what is denied are those of the WIT files.

use super::denied::{FILE, TCP, UDP};
use std::collections::BTreeSet;

/// The methods of `resource` in a WIT file, as the component model names them.
fn methods(file: &str, resource: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let start = format!("  resource {resource} {{");
    let inside = text.lines().skip_while(|line| *line != start).skip(1).take_while(|line| *line != "  }");
    let functions = inside.map(str::trim).filter(|line| !line.starts_with("//") && line.contains(": func("));
    let name = |line: &str| line.split(':').next().unwrap().trim_start_matches('%').to_owned();
    functions.map(|line| format!("[method]{resource}.{}", name(line))).collect()
}

fn listed(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_function_on_files_is_listed() {
    assert_eq!(listed(&FILE), methods("filesystem/filesystem.wit", "descriptor"));
}

#[test]
fn every_function_on_sockets_is_listed() {
    assert_eq!(listed(&TCP), methods("sockets/sockets.wit", "tcp-socket"));
    let udp = ["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"];
    let udp: BTreeSet<_> = udp.iter().flat_map(|resource| methods("sockets/sockets.wit", resource)).collect();
    assert_eq!(listed(&UDP), udp);
}
