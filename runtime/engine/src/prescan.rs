//! The cheap look at an upload before it is validated and compiled.
//!
//! wasmtime's own caps (1 GiB per module, 1,000,000 types) do not protect a station: the number of types and the
//! size of one body decide what a compilation costs. Every cap here is at least twice what the largest real guest
//! needs (a JavaScript component of 12 MiB, a Python component of 18 MiB). Nothing is allocated in proportion to
//! what the bytes claim. Runs in the compile child.

use station_model::{Code, Failure};
use wasmparser::{Encoding, Parser, Payload};

/// The caps, with what was seen in real guests.
const CAPS: &[(&str, u64)] = &[
    ("functions_max", 100_000),    // JavaScript and Python: 13,357
    ("types_max", 10_000),         // Python: 1,234
    ("body_bytes_max", 2 << 20),   // Python: 427 KB
    ("data_segments_max", 50_000), // JavaScript: 10,000
    ("data_bytes_max", 64 << 20),  // Python: 11 MB
    ("imports_max", 10_000),       // Python: 2,298
    ("exports_max", 20_000),       // Python: 4,217
    ("nesting_max", 8),            // 2
    ("instances_max", 1_000),      // Python: 66
    ("components_max", 200),       // 3
    ("modules_max", 200),          // Python: 14
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
            Payload::ComponentTypeSection(types) => self.count("types_max", types.count().into()),
            Payload::CoreTypeSection(types) => self.count("types_max", types.count().into()),
            Payload::FunctionSection(functions) => self.count("functions_max", functions.count().into()),
            Payload::CodeSectionEntry(body) => self.largest("body_bytes_max", body.range().len() as u64),
            Payload::DataSection(data) => {
                self.count("data_segments_max", data.count().into())?;
                self.count("data_bytes_max", data.range().len() as u64)
            }
            Payload::ImportSection(imports) => self.count("imports_max", imports.count().into()),
            Payload::ComponentImportSection(imports) => self.count("imports_max", imports.count().into()),
            Payload::ExportSection(exports) => self.count("exports_max", exports.count().into()),
            Payload::ComponentExportSection(exports) => self.count("exports_max", exports.count().into()),
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

    /// The caps must not be in the way of honest modules: none is under twice of what the largest real guest needs.
    #[test]
    fn no_cap_is_under_twice_of_what_real_guests_need() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest-modules");
        let guests: Vec<_> = ["py-default", "js-default", "portal"]
            .iter()
            .map(|name| {
                let file = folder.join(format!("{name}.wasm"));
                std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", file.display()))
            })
            .collect();
        for (at, (name, max)) in CAPS.iter().enumerate() {
            let largest = guests.iter().map(|bytes| usage(bytes)[at].2).max().unwrap();
            println!("{name}: {max}, the largest guest has {largest}");
            assert!(largest * 2 <= *max, "{name} is {max}, but a real guest has {largest}");
        }
    }
}
