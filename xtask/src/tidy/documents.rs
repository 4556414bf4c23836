//! What is named in one place is there in the other: fixtures and tests, codes and pages, documents and files.

use super::tree::Tree;
use std::collections::BTreeSet;

const CODES: &str = "runtime/model/src/code.rs";
const PAGES: &str = "docs/errors";
const ADDING: &str = "docs/adding.md";

/// A fixture that no test names proves nothing.
pub(super) fn every_fixture_is_named_by_a_test(tree: &Tree) -> Vec<String> {
    let tests: Vec<_> = tree.below(&["tests", "benches"]).filter(|(path, _)| path.ends_with(".rs")).collect();
    let named = |name: &str| tests.iter().any(|(_, text)| names(text, name));
    let fixtures = folders(tree, "guest-modules/fixtures").into_iter().filter(|name| !named(name));
    fixtures.map(|name| format!("no file below tests/ or benches/ names the fixture {name}")).collect()
}

/// An example that the README of the guests does not mention is found by nobody.
pub(super) fn every_example_is_in_the_readme(tree: &Tree) -> Vec<String> {
    let readme = tree.text("guest-modules/README.md");
    let lost = folders(tree, "guest-modules/examples").into_iter().filter(|name| !names(readme, name));
    lost.map(|name| format!("guest-modules/README.md does not mention the example {name}")).collect()
}

/// True when the name stands there by itself and not as a part of a longer one.
fn names(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

fn folders<'a>(tree: &'a Tree, place: &str) -> BTreeSet<&'a str> {
    let inside = tree.files.keys().filter_map(|path| path.strip_prefix(place)?.strip_prefix('/')?.split_once('/'));
    inside.map(|(folder, _)| folder).collect()
}

/// Every code has a page that tells what to do, and every page has a code.
pub(super) fn every_code_has_its_page(tree: &Tree) -> Vec<String> {
    let codes: BTreeSet<_> = tree.text(CODES).lines().filter_map(code_of).collect();
    let pages =
        tree.below(&[PAGES]).filter_map(|(path, _)| path.strip_prefix(PAGES)?.strip_prefix('/')?.strip_suffix(".md"));
    let pages: BTreeSet<_> = pages.collect();
    let mut found: Vec<_> =
        codes.difference(&pages).map(|code| format!("{code} has no page {PAGES}/{code}.md")).collect();
    found.extend(
        pages.difference(&codes).map(|page| format!("{PAGES}/{page}.md is about a code that {CODES} does not have")),
    );
    if codes.is_empty() {
        found.push(format!("no code was found in {CODES}; did its macro change?"));
    }
    found
}

/// The code in a line `Variant "family.code" Family 500 false "Title";`.
fn code_of(line: &str) -> Option<&str> {
    let (variant, rest) = line.trim().split_once(" \"")?;
    let (code, rest) = rest.split_once("\" ")?;
    let is_entry = variant.chars().all(char::is_alphanumeric) && code.contains('.') && rest.ends_with("\";");
    is_entry.then_some(code)
}

/// The paths that `docs/adding.md` sends people to are there, up to the part they shall make.
pub(super) fn paths_of_adding_exist(tree: &Tree) -> Vec<String> {
    let text = tree.text(ADDING);
    let paths = text.split('`').skip(1).step_by(2).filter(|quoted| is_path(quoted));
    let known = |path: &str| {
        let upto = path.split('<').next().unwrap_or(path);
        let upto = if upto.len() < path.len() { upto.rsplit_once('/').map_or("", |(folder, _)| folder) } else { upto };
        tree.below(&[upto.trim_end_matches('/')]).next().is_some()
    };
    let lost =
        paths.filter(|path| !known(path)).map(|path| format!("{ADDING} sends people to {path}, which is not there"));
    let missing = text.is_empty().then(|| format!("{ADDING} is missing"));
    lost.chain(missing).collect()
}

fn is_path(quoted: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || "/._-<>".contains(c);
    quoted.contains('/') && quoted.chars().all(letters)
}

/// A link from one document of ours to another file leads to one.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<String> {
    let documents =
        tree.files.iter().filter(|(path, _)| path.ends_with(".md") && !path.starts_with("guest-modules/templates"));
    let of = |(path, text): (&String, &String)| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let lost = targets(text).filter(|target| tree.below(&[&resolve(folder, target)]).next().is_none());
        lost.map(|target| format!("{path} links to {target}, which is not there")).collect::<Vec<_>>()
    };
    documents.flat_map(of).collect()
}

/// What `[..](target)` names, without addresses and places within a page.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("](").skip(1);
    let targets =
        after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "" | "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A promise that names its test names one that exists.
pub(super) fn tests_that_documents_name_exist(tree: &Tree) -> Vec<String> {
    let documents = tree.below(&["docs", "README.md", "SECURITY.md"]).filter(|(path, _)| path.ends_with(".md"));
    let rust: Vec<_> = tree.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(_, text)| text).collect();
    let of = |(path, text): (&str, &str)| {
        let named: BTreeSet<_> =
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| is_sentence(w)).collect();
        let exists = |name: &str| rust.iter().any(|text| text.contains(&format!("fn {name}(")));
        let lost = named.into_iter().filter(|name| !exists(name));
        lost.map(|name| format!("{path} names the test {name}, which is not there")).collect::<Vec<_>>()
    };
    documents.flat_map(of).collect()
}

/// Our tests read as sentences, and nothing else in a document has so many underscores.
fn is_sentence(word: &str) -> bool {
    word.matches('_').count() >= 3 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_without_a_test_is_found() {
        let tree = Tree::of(&[
            ("guest-modules/fixtures/kv-draft/src/lib.rs", ""),
            ("guest-modules/fixtures/kv-draft2/src/lib.rs", ""),
            ("tests/it/kv.rs", "deploy(\"kv-draft2\")"),
        ]);
        let found = every_fixture_is_named_by_a_test(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("kv-draft"));
    }

    #[test]
    fn an_example_that_nobody_mentions_is_found() {
        let tree = Tree::of(&[("guest-modules/examples/a/src/lib.rs", ""), ("guest-modules/README.md", "`ab`")]);
        assert_eq!(every_example_is_in_the_readme(&tree).len(), 1);
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_found() {
        let codes = "    CallTrap \"call.trap\" Call 500 false \"The module trapped\";\n";
        let tree = Tree::of(&[(CODES, codes), ("docs/errors/call.gone.md", "")]);
        assert_eq!(every_code_has_its_page(&tree).len(), 2);
        let tree = Tree::of(&[(CODES, codes), ("docs/errors/call.trap.md", "")]);
        assert!(every_code_has_its_page(&tree).is_empty());
        assert_eq!(every_code_has_its_page(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_path_that_is_gone_is_found() {
        let check =
            |text: &str| paths_of_adding_exist(&Tree::of(&[(ADDING, text), ("runtime/cli/verbs/ls.rs", "")])).len();
        assert_eq!(check("`runtime/cli/verbs/ls.rs`, `runtime/cli/verbs/<verb>.rs`, `runtime/cli/`, `cargo xtask`"), 0);
        assert_eq!(check("`runtime/cli/verbs/rm.rs`"), 1);
        assert_eq!(check("`runtime/gone/<verb>.rs`"), 1);
        assert_eq!(check(""), 1);
    }

    #[test]
    fn a_test_that_is_gone_is_found() {
        let text = "see `links::one_two_three_four` and `five_six_seven_eight`, not `wall_ms_max`";
        let tree = Tree::of(&[("docs/a.md", text), ("tests/it/links.rs", "fn one_two_three_four() {}")]);
        assert_eq!(
            tests_that_documents_name_exist(&tree),
            ["docs/a.md names the test five_six_seven_eight, which is not there"]
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let links = "[a](../README.md#start) [b](gone.md) [c](https://example.org/x) [d](#here) [e](.)";
        let tree = Tree::of(&[("docs/a.md", links), ("README.md", "")]);
        assert_eq!(links_lead_somewhere(&tree), ["docs/a.md links to gone.md, which is not there"]);
    }
}
