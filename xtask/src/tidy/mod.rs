//! `cargo xtask tidy`: what must be true of the tree and what no compiler checks. It is a test, too.
//!
//! A rule is a plain function from the [`Tree`] to the sentences that say what is wrong; all of them run, so that one
//! run tells everything. `docs/architecture.md` names the rule that keeps each of its promises.

mod arrows;
mod documents;
mod hosts;
mod lock;
mod rust;
mod sources;
mod tree;

use anyhow::{Result, ensure};

use crate::repo::say;
use tree::Tree;

/// A rule's name and the rule.
type Rule = (&'static str, fn(&Tree) -> Vec<String>);

const RULES: [Rule; 19] = [
    ("arrows", arrows::only_along_arrows),
    ("named-only-there", arrows::named_only_there),
    ("pins", lock::wasmtime_is_pinned),
    ("features", lock::wasmtime_has_the_golden_features),
    ("banned", lock::banned_crates_are_absent),
    ("duplicates", lock::duplicates_have_reasons),
    ("one-wit-parser", lock::one_wit_parser),
    ("module-doc", sources::every_file_explains_itself),
    ("size", sources::no_file_is_too_long),
    ("unfinished", sources::nothing_is_unfinished),
    ("unsafe", sources::unsafe_only_in_the_engine),
    ("unsafe-reason", sources::every_unsafe_has_its_proof),
    ("fixtures", documents::every_fixture_is_named_by_a_test),
    ("examples", documents::every_example_is_in_the_readme),
    ("error-pages", documents::every_code_has_its_page),
    ("adding", documents::paths_of_adding_exist),
    ("named-tests", documents::tests_that_documents_name_exist),
    ("links", documents::links_lead_somewhere),
    ("hosts", hosts::no_registry_is_named),
];

/// Everything that is wrong, a line each, beginning with the rule.
fn violations(tree: &Tree) -> Vec<String> {
    let of = |(name, rule): &Rule| rule(tree).into_iter().map(|what| format!("{name}: {what}")).collect::<Vec<_>>();
    RULES.iter().flat_map(of).collect()
}

/// Says what is wrong.
///
/// # Errors
/// When anything is, or the tree cannot be read.
pub(crate) fn run() -> Result<()> {
    let found = violations(&Tree::read()?);
    found.iter().for_each(|line| say(line));
    ensure!(found.is_empty(), "{} things are not tidy", found.len());
    say(&format!("tidy: {} rules hold", RULES.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let found = violations(&Tree::read().unwrap());
        assert!(found.is_empty(), "{} things are not tidy:\n{}", found.len(), found.join("\n"));
    }
}
