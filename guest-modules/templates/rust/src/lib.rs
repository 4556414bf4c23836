//! Says hello.

wit_bindgen::generate!({ path: "wit", world: "module" });

use exports::{{name_snake}}::{{name_snake}}::greeter::Guest;

struct Module;

impl Guest for Module {
    fn greet(name: String) -> String {
        greeting(&name)
    }
}

/// Plain functions like this one can be tested with `cargo test`, without a station.
fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

export!(Module);

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting("Ada"), "Hello, Ada!");
    }
}
