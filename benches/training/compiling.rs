//! Compiling in this process.

use crate::plain::engine;
use station_testkit::guest;
use wasmtime::component::Component;

/// Small and large, with SQL, HTTP, text and lists; all of them Rust, since a component of JavaScript or Python takes
/// longer to compile than all of these together and has nothing that they have not.
const GUESTS: [&str; 5] = ["payload-sink", "http-hello", "http-writer", "sql-runner", "dossiers"];

pub(crate) fn train() {
    let engine = engine();
    for name in GUESTS {
        let component = Component::from_file(&engine, guest(name)).expect("the guest compiles");
        let code = component.serialize().expect("there is code");
        assert!(!code.is_empty(), "{name} has no code");
    }
}
