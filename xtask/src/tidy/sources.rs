//! Our Rust: it explains itself, is of a size to be read, is finished, and is safe outside the engine.

use super::rust::{code, production};
use super::tree::Tree;

/// Lines of production code in one file.
const LINES_MAX: usize = 1_000;
/// Where Rust of ours is, production and tests.
const RUST: [&str; 6] = ["runtime", "host-sdk", "xtask", "tests", "benches", "guest-modules"];

/// Rust files that ship or help to ship.
fn production_files(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let places = &["runtime", "host-sdk", "xtask"];
    tree.below(places)
        .filter(|(path, _)| path.ends_with(".rs") && !is_test(path))
        .map(|(path, text)| (path, production(text)))
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The first lines say what the file is for.
pub(super) fn every_file_explains_itself(tree: &Tree) -> Vec<String> {
    let silent = production_files(tree).filter(|(_, text)| !text.trim_start().starts_with("//!"));
    silent.map(|(path, _)| format!("{path} does not begin with `//!` and what it is for")).collect()
}

/// No file needs more than an hour to be understood.
pub(super) fn no_file_is_too_long(tree: &Tree) -> Vec<String> {
    let long =
        production_files(tree).map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path} has {lines} lines of production code, more than {LINES_MAX}")).collect()
}

/// What says "later" is not handed in. A fake in a test may leave out what the test does not call.
pub(super) fn nothing_is_unfinished(tree: &Tree) -> Vec<String> {
    let rust = tree.below(&RUST).filter(|(path, _)| path.ends_with(".rs"));
    let mut found = lines_with(rust, &["todo!", "dbg!"]);
    found.extend(lines_with(production_files(tree), &["unimplemented!"]));
    found
}

/// `unsafe` lives in the engine, where it is read as such. Guests are untrusted anyway.
pub(super) fn unsafe_only_in_the_engine(tree: &Tree) -> Vec<String> {
    let elsewhere = tree.below(&["runtime", "host-sdk", "xtask", "tests", "benches"]);
    let elsewhere = elsewhere.filter(|(path, _)| path.ends_with(".rs") && !path.starts_with("runtime/engine/"));
    lines_with(elsewhere, &UNSAFE)
}

const UNSAFE: [&str; 5] = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern"];

/// Whatever is `unsafe` has its proof beside it.
pub(super) fn every_unsafe_has_its_proof(tree: &Tree) -> Vec<String> {
    let engine = tree.below(&["runtime/engine"]).filter(|(path, _)| path.ends_with(".rs"));
    let of = |(path, text): (&str, &str)| {
        let uses = |line: &str| UNSAFE.iter().any(|word| line.contains(word));
        let count = code(text).lines().filter(|line| uses(line)).count();
        let proofs = text.matches("// SAFETY: ").count();
        (count > proofs).then(|| format!("{path} is unsafe {count} times and says `// SAFETY: ` {proofs} times"))
    };
    engine.filter_map(of).collect()
}

fn lines_with<'a>(files: impl Iterator<Item = (&'a str, &'a str)>, words: &[&str]) -> Vec<String> {
    let of = |(path, text): (&str, &str)| {
        let code = code(text);
        let found = code.lines().enumerate().filter_map(|(at, line)| {
            let word = words.iter().find(|word| has_word(line, word))?;
            Some(format!("{path}:{} has `{word}`", at + 1))
        });
        found.collect::<Vec<_>>()
    };
    files.flat_map(of).collect()
}

/// True when `word` is there and is not the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: &str = "runtime/engine/src/a.rs";
    const KERNEL: &str = "runtime/kernel/src/a.rs";

    #[test]
    fn a_silent_file_is_found_and_a_test_may_be_silent() {
        let tree = Tree::of(&[
            (KERNEL, "use std;\n"),
            (ENGINE, "//! Why.\n"),
            ("runtime/kernel/src/tests/a.rs", "use std;\n"),
        ]);
        assert_eq!(every_file_explains_itself(&tree).len(), 1);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_free() {
        let long = "fn a() {}\n".repeat(LINES_MAX + 1);
        let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(no_file_is_too_long(&Tree::of(&[(KERNEL, &long)])).len(), 1);
        assert!(no_file_is_too_long(&Tree::of(&[(KERNEL, &tests)])).is_empty());
    }

    #[test]
    fn what_is_unfinished_is_found_in_tests_too() {
        let tree = Tree::of(&[
            (KERNEL, "fn a() { todo!() }\n"),
            ("tests/it/a.rs", "dbg!(1); unimplemented!()\n"),
            (ENGINE, "// no todo! left\n"),
        ]);
        assert_eq!(
            nothing_is_unfinished(&tree),
            ["runtime/kernel/src/a.rs:1 has `todo!`", "tests/it/a.rs:1 has `dbg!`"]
        );
    }

    #[test]
    fn unsafe_outside_the_engine_is_found() {
        let text = "#![deny(unsafe_code)]\nfn a() { unsafe { b() } }\n";
        let tree = Tree::of(&[(KERNEL, text), (ENGINE, text)]);
        assert_eq!(unsafe_only_in_the_engine(&tree), ["runtime/kernel/src/a.rs:2 has `unsafe {`"]);
    }

    #[test]
    fn unsafe_without_proof_is_found() {
        let tree = Tree::of(&[(ENGINE, "// SAFETY: b asks for nothing.\nunsafe { b() }\nunsafe { c() }\n")]);
        assert_eq!(every_unsafe_has_its_proof(&tree).len(), 1);
    }
}
