//! Just enough of Rust's grammar for the rules: what of a file is production code, and what of that is code rather
//! than comment or text.

/// The lines of a file before its tests, which by our habit come last.
pub(super) fn production(text: &str) -> &str {
    let tests = "#[cfg(test)]\nmod ";
    let inline = text.match_indices(tests).find(|(at, _)| {
        let rest = text.get(at + tests.len()..).unwrap_or_default();
        // `mod tests;` names another file; only `mod tests {` begins one here.
        rest.lines().next().is_some_and(|line| line.ends_with('{'))
    });
    inline.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// The text with comments, strings and characters blanked out, lines kept.
pub(super) fn code(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        let length = skipped.unwrap_or(first.len_utf8());
        let (piece, after) = rest.split_at(length);
        if skipped.is_some() {
            code.push(' ');
            code.extend(piece.chars().filter(|&c| c == '\n'));
        } else {
            code.push(first);
        }
        rest = after;
    }
    code
}

/// The length of a comment that `text` begins with. Block comments do not nest in our sources.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.strip_prefix("/*").map(|inside| inside.find("*/").map_or(text.len(), |end| end + 4))
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after.trim_start_matches('#').strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let before = text.len() - inside.len();
    Some(inside.find(&end).map_or(text.len(), |at| before + at + end.len()))
}

fn string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.char_indices().find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(text.len(), |(at, _)| at + 2))
}

/// A character, not a lifetime: it is closed within a few bytes.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let content = match first {
        '\\' => inside.get(2..)?.find('\'')? + 2,
        _ => first.len_utf8(),
    };
    (inside.get(content..)?.starts_with('\'') && content <= 12).then_some(content + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_no_production_code() {
        assert_eq!(production("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn a() {}\n");
        let elsewhere = "#[cfg(test)]\nmod tests;\nfn a() {}\n";
        assert_eq!(production(elsewhere), elsewhere);
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        let check = |text: &str, expected: &str| {
            assert_eq!(code(text).split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
        };
        check("a // b\nc", "a c");
        check("a /* b */ c", "a c");
        check(r#"a("b \" c", d)"#, "a( , d)");
        check(r###"a(r#"b " c"#, d)"###, "a( , d)");
        check("a('\"', b)", "a( , b)");
        check("a('\\'', '\\u{1F600}', b)", "a( , , b)");
        check("fn a<'b>(c: &'b str) {}", "fn a<'b>(c: &'b str) {}");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n/* b\nc */\n\"d\ne\"\nf\n";
        assert_eq!(code(text).lines().count(), text.lines().count());
    }
}
