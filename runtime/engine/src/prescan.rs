//! The cheap look at an upload before it is validated and compiled.
//!
//! wasmtime's own caps (1 GiB per module, 1,000,000 types) do not protect a station: the number of types and the
//! size of one body decide what a compilation costs. Every cap here is at least twice what the largest real guest
//! needs (a JavaScript component of 12 MiB, a Python component of 18 MiB). Nothing is allocated in proportion to
//! what the bytes claim. Runs in the compile child.

mod inside;

use station_model::{Code, Failure};
use wasmparser::{Encoding, FunctionBody, Parser, Payload};

/// The caps, with what was seen in real guests.
const CAPS: &[(&str, u64)] = &[
    ("functions_max", 100_000),       // JavaScript and Python: 13,357
    ("types_max", 10_000),            // Python: 1,234
    ("body_bytes_max", 2 << 20),      // Python: 427 KB
    ("locals_max", 2_000),            // Python: 271; wasmtime takes 50,000
    ("br_table_targets_max", 10_000), // Python: 3,202; wasmtime takes 7,654,321
    ("name_bytes_max", 1_024),        // Python: 162; mangled names of C++ are longer. wasmtime takes 100,000
    ("data_segments_max", 50_000),    // JavaScript: 10,000
    ("data_bytes_max", 64 << 20),     // Python: 11 MB
    ("imports_max", 10_000),          // Python: 2,298
    ("exports_max", 20_000),          // Python: 4,217
    ("nesting_max", 8),               // 2
    ("instances_max", 1_000),         // Python: 66
    ("components_max", 200),          // 3
    ("modules_max", 200),             // Python: 14
];

#[derive(Default)]
struct Counts {
    used: [u64; 16],
    depth: u64,
}

/// Looks at the first bytes: what kind of file is this?
///
/// # Errors
/// `upload.truncated`, `upload.not_wasm`, `upload.not_a_component`, `upload.precompiled_refused`.
pub(crate) fn kind(bytes: &[u8]) -> Result<(), Failure> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return fail(
            Code::UploadPrecompiledRefused,
            "the upload is machine code; upload the component it was made from",
        );
    }
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => fail(
            Code::UploadNotAComponent,
            "the upload is a core module; build for wasm32-wasip2, or wrap it with `wasm-tools component new`",
        ),
        [] => fail(Code::UploadTruncated, "the upload is empty"),
        _ if b"\0asm".starts_with(bytes.get(..4).unwrap_or(bytes)) && bytes.len() < 8 => {
            fail(Code::UploadTruncated, "the upload ends within its first eight bytes")
        }
        [0, b'a', b's', b'm', ..] => fail(Code::UploadInvalid, "the upload is of an unknown version of WebAssembly"),
        _ => fail(Code::UploadNotWasm, "the upload does not begin like WebAssembly; text is not accepted"),
    }
}

/// What a component has of everything that is capped.
#[cfg(test)]
fn usage(bytes: &[u8]) -> Vec<(&'static str, u64, u64)> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counts.add(&payload.unwrap()).unwrap();
    }
    CAPS.iter().zip(counts.used).map(|((name, max), used)| (*name, *max, used)).collect()
}

/// Walks the sections and holds what it finds against the caps.
///
/// # Errors
/// `upload.limit` naming the cap, `upload.invalid`, `upload.truncated`.
pub(crate) fn scan(bytes: &[u8]) -> Result<(), Failure> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counts.add(&payload.map_err(|error| unreadable(&error, bytes.len()))?)?;
    }
    Ok(())
}

fn unreadable(error: &wasmparser::BinaryReaderError, len: usize) -> Failure {
    // A section that claims more bytes than there are is cut off, too.
    let at_end = error.offset() >= len || error.message().starts_with("unexpected end");
    let code = if at_end { Code::UploadTruncated } else { Code::UploadInvalid };
    Failure::new(code, format!("the component cannot be read: {error}"))
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Failure> {
        match payload {
            Payload::Version { encoding, .. } => self.enter(*encoding),
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::TypeSection(types) => self.count("types_max", types.count().into()),
            Payload::ComponentTypeSection(types) => {
                self.count("types_max", types.count().into())?;
                self.largest("name_bytes_max", inside::named(types, inside::in_type))
            }
            Payload::CoreTypeSection(types) => self.count("types_max", types.count().into()),
            Payload::FunctionSection(functions) => self.count("functions_max", functions.count().into()),
            Payload::CodeSectionEntry(body) => self.body(body),
            Payload::DataSection(data) => {
                self.count("data_segments_max", data.count().into())?;
                self.count("data_bytes_max", data.range().len() as u64)
            }
            Payload::ImportSection(imports) => {
                self.count("imports_max", imports.count().into())?;
                self.largest("name_bytes_max", inside::imported(imports))
            }
            Payload::ComponentImportSection(imports) => {
                self.count("imports_max", imports.count().into())?;
                self.largest("name_bytes_max", inside::named(imports, |import| import.name.name.len()))
            }
            Payload::ExportSection(exports) => {
                self.count("exports_max", exports.count().into())?;
                self.largest("name_bytes_max", inside::named(exports, |export| export.name.len()))
            }
            Payload::ComponentExportSection(exports) => {
                self.count("exports_max", exports.count().into())?;
                self.largest("name_bytes_max", inside::named(exports, |export| export.name.name.len()))
            }
            Payload::InstanceSection(instances) => self.count("instances_max", instances.count().into()),
            Payload::ComponentInstanceSection(instances) => self.count("instances_max", instances.count().into()),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, encoding: Encoding) -> Result<(), Failure> {
        self.depth += 1;
        self.largest("nesting_max", self.depth)?;
        self.count(if encoding == Encoding::Module { "modules_max" } else { "components_max" }, 1)
    }

    /// The size first: what is too large is not looked into.
    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Failure> {
        self.largest("body_bytes_max", body.range().len() as u64)?;
        self.largest("locals_max", inside::locals(body))?;
        self.largest("br_table_targets_max", inside::targets(body))
    }

    fn count(&mut self, cap: &'static str, more: u64) -> Result<(), Failure> {
        self.hold(cap, |used| used.saturating_add(more))
    }

    fn largest(&mut self, cap: &'static str, one: u64) -> Result<(), Failure> {
        self.hold(cap, |used| used.max(one))
    }

    fn hold(&mut self, cap: &'static str, next: impl Fn(u64) -> u64) -> Result<(), Failure> {
        let found = CAPS.iter().zip(&mut self.used).find(|((name, _), _)| *name == cap);
        let Some(((_, max), used)) = found else { return Ok(()) };
        *used = next(*used);
        match *used <= *max {
            true => Ok(()),
            false => {
                Err(Failure::new(Code::UploadLimit, format!("the component exceeds {cap}"))
                    .with_limit(cap, *max, *used))
            }
        }
    }
}

fn fail(code: Code, message: &str) -> Result<(), Failure> {
    Err(Failure::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use station_testkit::component;

    fn code_of(bytes: &[u8]) -> Option<Code> {
        kind(bytes).and_then(|()| scan(bytes)).err().map(|failure| failure.code)
    }

    #[test]
    fn what_is_not_a_component_is_told_apart() {
        let core = b"\0asm\x01\0\0\0";
        let component = b"\0asm\x0d\0\x01\0";
        assert_eq!(code_of(component), None);
        for (bytes, code) in [
            (&b""[..], Code::UploadTruncated),
            (&core[..3], Code::UploadTruncated),
            (&core[..], Code::UploadNotAComponent),
            (b"\x89PNG\r\n\x1a\n", Code::UploadNotWasm),
            (b"(component)", Code::UploadNotWasm),
            (b"\0asm\x0d\0\x07\0", Code::UploadInvalid),
            (b"\0asm\x0d\0\x01\0\x07\xff", Code::UploadTruncated),
        ] {
            assert_eq!(code_of(bytes), Some(code), "{bytes:?}");
        }
    }

    #[test]
    fn every_cap_holds() {
        for (name, max) in CAPS {
            let mut counts = Counts::default();
            assert!(counts.count(name, *max).is_ok(), "{name}");
            let failure = counts.count(name, 1).unwrap_err();
            assert_eq!((failure.code, failure.limit.unwrap().name.as_str()), (Code::UploadLimit, *name));
        }
    }

    /// Holds a component with this item once at a cap and once beyond it.
    #[track_caller]
    fn holds(cap: &str, at: usize, item: impl Fn(usize) -> String) {
        let component = |size| component(&format!("(component {})", item(size)));
        assert_eq!(scan(&component(at)), Ok(()), "{cap}: {}", item(1));
        let failure = scan(&component(at + 1)).unwrap_err();
        let limit = failure.limit.unwrap();
        assert_eq!((failure.code, limit.name.as_str(), limit.value), (Code::UploadLimit, cap, at as u64));
    }

    #[test]
    fn locals_are_summed_over_a_function() {
        holds("locals_max", 2_000, |n| {
            format!("(core module (func) (func (local {} {})))", "i32 ".repeat(n / 2), "i64 ".repeat(n - n / 2))
        });
    }

    #[test]
    fn a_jump_table_is_found_wherever_it_stands() {
        holds("br_table_targets_max", 10_000, |n| {
            let targets = "0 ".repeat(n + 1);
            format!("(core module (func) (func (block (loop (br_table {targets} (i32.const 0))))))")
        });
    }

    #[test]
    fn names_are_held_against_their_cap_wherever_they_stand() {
        let check = |before: &str, after: &str| {
            holds("name_bytes_max", 1_024, |n| format!("{before}{}{after}", "a".repeat(n)));
        };
        check(r#"(core module (import ""#, r#"" "f" (func)))"#);
        check(r#"(core module (import "m" ""#, r#"" (func)))"#);
        check(r#"(core module (func (export ""#, r#"")))"#);
        check(r#"(import ""#, r#"" (func))"#);
        check(r#"(import "f" (func)) (export ""#, r#"" (func 0))"#);
        check(r#"(type (instance (export ""#, r#"" (func))))"#);
        check(r#"(type (component (import ""#, r#"" (func))))"#);
        check(r#"(type (component (export ""#, r#"" (func))))"#);
        check(r#"(type (func (param ""#, r#"" u8)))"#);
        check(r#"(type (record (field ""#, r#"" u8)))"#);
        check(r#"(type (variant (case ""#, r#"")))"#);
        check(r#"(type (enum ""#, r#""))"#);
        check(r#"(type (flags ""#, r#""))"#);
    }

    /// The caps must not be in the way of honest modules: none is under twice of what the largest real guest needs.
    #[test]
    fn no_cap_is_under_twice_of_what_real_guests_need() {
        let guests: Vec<_> = guests().into_iter().map(|(guest, bytes)| (guest, usage(&bytes))).collect();
        for (at, (name, max)) in CAPS.iter().enumerate() {
            let (guest, used) = guests.iter().max_by_key(|(_, used)| used[at].2).unwrap();
            let largest = used[at].2;
            println!("{name}: {max}, {guest} has {largest}");
            assert!(largest * 2 <= *max, "{name} is {max}, but {guest} has {largest}");
        }
    }

    /// Every guest that was built, those of the large languages among them.
    fn guests() -> Vec<(String, Vec<u8>)> {
        let missing = "no guests; run `cargo xtask guests`";
        let one = station_testkit::guest("portal");
        let files = std::fs::read_dir(one.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let wasm = files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        let read = |path: std::path::PathBuf| {
            (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        };
        let guests: Vec<_> = wasm.map(read).collect();
        for name in ["py-default", "js-default", "portal"] {
            assert!(guests.iter().any(|(guest, _)| guest == name), "{name}: {missing}");
        }
        guests
    }
}
