//! The annotated default, the round trip, and golden files for what people get wrong.

use super::*;

const ANNOTATED: &str = include_str!("../../../station.yaml");

fn parsed(text: &str) -> Config {
    parse(text, "station.yaml", Path::new(""), Overrides::default()).unwrap_or_else(|found| panic!("{found}"))
}

fn shown(config: &Config) -> serde_json::Value {
    document(&config.settings)
}

#[test]
fn the_annotated_default_says_what_is_built_in() {
    assert_eq!(shown(&parsed(ANNOTATED)), shown(&parsed("")));
}

#[test]
fn the_annotated_default_names_every_key() {
    let keys = parsed(ANNOTATED).places;
    let full = parsed("cache: { dir: x }").settings;
    let mut names = Vec::new();
    leaves(&document(&full), "", &mut names);
    for name in names {
        let commented = name == "cache.dir" && ANNOTATED.contains("# cache: {");
        assert!(keys.contains_key(&name) || commented, "station.yaml does not explain `{name}`");
    }
}

fn leaves(value: &serde_json::Value, path: &str, names: &mut Vec<String>) {
    match value.as_object() {
        Some(entries) => entries.iter().for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            leaves(value, &path, names);
        }),
        None => names.push(path.to_owned()),
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same_settings() {
    let wasm = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "station: {{ name: lex, data: /var/lib/station }}\n\
         cache: {{ dir: /var/cache/station }}\n\
         limits: {{ fuel: 1_000, deadline: 1500ms, memory: 1MiB, instances: 3 }}\n\
         drain: 0s\n\
         unit: {{ checkpoints: false }}\n\
         modules:\n\
         \x20 audit:\n\
         \x20   source: {}\n\
         \x20   grants: [ \"station:sql\", \"lex:audit/journal@1.0.0@audit\", \"https://example.com\" ]\n\
         \x20   grant-all: true\n\
         \x20   links: {{ \"lex:audit/journal@1.0.0\": other }}\n\
         \x20   limits: {{ memory: 2MiB }}\n\
         \x20   instances: {{ mode: reused, calls-max: 5, idle-max: 1s }}\n\
         \x20   routes: [ {{ path: /audit }}, {{ host: a.example }} ]\n\
         \x20   config: {{ version: 1.10, greeting: \"hello: you\", on: yes }}\n\
         \x20 other:\n",
        wasm.path().display()
    );
    let first = parsed(&text);
    let again = parsed(&serde_saphyr::to_string(&shown(&first)).unwrap());
    assert_eq!(shown(&first), shown(&again));
    let audit = &first.settings.modules[0];
    assert_eq!(audit.config["version"], "1.10");
    assert_eq!(audit.config["on"], "yes");
    assert_eq!((audit.grants.len(), audit.routes.len(), audit.links.len()), (3, 2, 1));
}

#[test]
fn paths_are_beside_the_file_and_flags_are_not() {
    let overrides = Overrides { data: Some("here".into()), ..Overrides::default() };
    let text = "station: { data: d }\ncache: { dir: c }\n";
    let config = parse(text, "x", Path::new("/etc/station"), overrides).unwrap();
    assert_eq!(config.settings.data, Path::new("here"));
    assert_eq!(config.settings.cache.as_deref(), Some(Path::new("/etc/station/c")));
    let config = parse(text, "x", Path::new("/etc/station"), Overrides::default()).unwrap();
    assert_eq!(config.settings.data, Path::new("/etc/station/d"));
}

#[test]
fn checkpoints_can_be_left_to_litestream() {
    assert!(parsed("").settings.checkpoints);
    assert!(!parsed("unit: { checkpoints: false }").settings.checkpoints);
}

#[test]
fn rows_of_a_module_have_a_quota() {
    assert_eq!(parsed("").settings.sql_rows_max, 10_000_000);
    assert_eq!(parsed("unit: { rows: 1_000 }").settings.sql_rows_max, 1_000);
    let found = parse("unit: { rows: 999 }", "x", Path::new("/"), Overrides::default()).err().unwrap();
    assert_eq!(found.to_string(), "x:1:15: unit.rows: is 999, must be from 1_000 to 1_000_000_000_000");
}

#[test]
fn instances_follow_the_call_threads() {
    assert_eq!(parsed("calls: { threads: 7 }").settings.limits.instances_max, 7);
}

#[test]
fn a_missing_file_is_a_mistake_with_its_name() {
    let found = load(Path::new("/nonexistent/station.yaml"), Overrides::default()).err().unwrap();
    assert_eq!(found.to_string(), "/nonexistent/station.yaml: there is no such file");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut checked = 0;
    for input in crate::golden::files("config", "yaml") {
        let text = std::fs::read_to_string(&input).unwrap();
        let name = input.file_name().unwrap().to_string_lossy().into_owned();
        let told = match parse(&text, &name, Path::new(""), Overrides::default()) {
            Ok(_) => panic!("{name} has no mistake"),
            Err(found) => format!("{found}\n"),
        };
        crate::golden::check(&input.with_extension("txt"), &told);
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} files in tests/golden/config");
}
