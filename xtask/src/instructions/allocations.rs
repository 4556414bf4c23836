//! How often a phase has asked for memory, from what callgrind wrote of it.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::path::Path;

/// What asks the C library for memory; `free` needs no counting of its own.
const ASKING: [&str; 5] = ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign"];

/// Calls of them in a file of callgrind's.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn count(file: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(in_text(&text))
}

/// A function is named once, `fn=(7) malloc`, and is its number from then on. Who is called stands in a line `cfn=`, and
/// how often in the line `calls=` that follows it.
fn in_text(text: &str) -> u64 {
    let (mut names, mut called, mut found) = (HashMap::new(), "", 0);
    for line in text.lines() {
        if let Some(calls) = line.strip_prefix("calls=") {
            let calls = calls.split(' ').next().and_then(|calls| calls.parse::<u64>().ok());
            found += calls.filter(|_| ASKING.contains(&called)).unwrap_or_default();
        }
        let named = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn="));
        let Some((number, name)) = named.map(|named| named.split_once(' ').unwrap_or((named, ""))) else { continue };
        if !name.is_empty() {
            names.insert(number, name);
        }
        if line.starts_with('c') {
            called = names.get(number).copied().unwrap_or_default();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_whether_a_function_is_named_or_only_numbered() {
        let text = "fn=(1) main\n10 5\ncfn=(2) malloc\ncalls=3 20\n10 90\ncfn=(3) other\ncalls=7 30\n10 9\n\
                    fn=(2)\n20 4\nfn=(3)\ncfn=(2)\ncalls=4 20\n30 1\ncfn=(4) malloc_consolidate\ncalls=9 1\n";
        assert_eq!(in_text(text), 7);
    }
}
