//! A module's names and their physical ones.

/// Which module an object belongs to: `m7__users` is module 7's. None for the station's and SQLite's own.
pub(super) fn owner(physical: &str) -> Option<i64> {
    split(physical).map(|(module, _)| module)
}

/// Module and name. Leading zeros are somebody's trick and belong to nobody.
fn split(physical: &str) -> Option<(i64, &str)> {
    let rest = physical.strip_prefix(['m', 'M'])?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = rest.split_at_checked(digits)?;
    let name = rest.strip_prefix("__")?;
    (!digits.starts_with('0')).then_some(())?;
    Some((digits.parse().ok()?, name))
}

/// What another module's name in a message turns into.
const FOREIGN: &str = "the statement meets something of another module";

/// The names of one module.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) module: i64,
    prefix: String,
}

impl Names {
    pub(super) fn new(module: i64) -> Self {
        Self { module, prefix: format!("m{module}__") }
    }

    /// What a text begins with on its way to SQLite, so that a prepared statement, which was judged for one module, is
    /// never found by another that sends the same text.
    pub(super) fn mark(&self) -> String {
        format!("/*m{}*/ ", self.module)
    }

    /// The physical name, quoted.
    pub(super) fn quoted(&self, own: &str) -> String {
        quote(&format!("{}{own}", self.prefix))
    }

    pub(super) fn owns(&self, physical: &str) -> bool {
        owner(physical) == Some(self.module)
    }

    /// The module's own name of what it owns, otherwise the name as it is.
    pub(super) fn own<'a>(&self, physical: &'a str) -> &'a str {
        match split(physical) {
            Some((module, name)) if module == self.module => name,
            _ => physical,
        }
    }

    /// True if `text` may hold a physical name; cheap, because it is asked for every column of every answer.
    pub(super) fn in_text(&self, text: &str) -> bool {
        text.contains(&self.prefix)
    }

    /// A message with physical names turned back. One that names something of another module is not told at all.
    pub(super) fn message(&self, text: &str) -> String {
        let mut own = String::with_capacity(text.len());
        let mut rest = text;
        let mut inside = false;
        while let Some(first) = rest.chars().next() {
            match split(rest).filter(|_| !inside) {
                Some((module, _)) if module != self.module => return FOREIGN.to_owned(),
                Some((_, name)) => {
                    rest = name;
                    inside = true;
                    continue;
                }
                None => own.push(first),
            }
            inside = first.is_alphanumeric() || first == '_';
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
        own
    }
}

/// An identifier that SQLite reads as exactly `name`.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_strictly() {
        for (name, expected) in [
            ("m7__users", Some(7)),
            ("M7__users", Some(7)),
            ("m7__m8__users", Some(7)),
            ("m77__x", Some(77)),
            ("m7__", Some(7)),
            ("m07__x", None),
            ("m__x", None),
            ("m-7__x", None),
            ("m7_x", None),
            ("modules", None),
            ("m99999999999999999999__x", None),
            ("sqlite_master", None),
            ("", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn messages_speak_of_tables_as_the_module_does() {
        let names = Names::new(7);
        for (message, expected) in [
            ("no such table: m7__users", "no such table: users"),
            ("UNIQUE constraint failed: m7__users.email", "UNIQUE constraint failed: users.email"),
            ("no such table: main.m7__m7__x", "no such table: main.m7__x"),
            ("UNIQUE constraint failed: m7__a.x, m7__b.y", "UNIQUE constraint failed: a.x, b.y"),
            ("form7__x é m7__é", "form7__x é é"),
            ("error in view m8__secret: no such table", FOREIGN),
            ("near \"FORM\": syntax error", "near \"FORM\": syntax error"),
        ] {
            assert_eq!(names.message(message), expected);
        }
    }
}
