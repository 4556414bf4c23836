//! File and line of a trap, from the DWARF that a component carries. Runs in a child: debug information of a guest
//! is as hostile as the rest of it.
//!
//! A trap is known by its offset in the component. The core module that holds the offset is found by its code
//! section; DWARF counts from the start of that section.

use addr2line::gimli;
use station_model::Location;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use wasmparser::{Parser, Payload};

/// A core module's code section, and its custom sections by name.
#[derive(Default)]
struct Core<'a> {
    code: Range<u64>,
    sections: HashMap<&'a str, &'a [u8]>,
}

/// Functions inlined into one another at one place, as many as are told.
const INLINED_MAX: usize = 8;

type Reader<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

/// For each location the places in the source that it stands for: the function that was running first, then those
/// it was inlined into. A location that the component tells nothing about stands for itself.
pub(crate) fn resolve(bytes: &[u8], at: Vec<Location>) -> Vec<Vec<Location>> {
    let modules = modules(bytes);
    at.into_iter().map(|location| resolve_one(&modules, location)).collect()
}

fn resolve_one(modules: &[Core<'_>], mut location: Location) -> Vec<Location> {
    let holding = |offset: &u64| modules.iter().find(|core| core.code.contains(offset));
    let found = location.offset.and_then(|offset| lookup(holding(&offset)?, offset));
    match found {
        Some(places) if !places.is_empty() => places,
        _ => {
            location.function = location.function.map(|name| addr2line::demangle_auto(name.into(), None).into_owned());
            vec![location]
        }
    }
}

fn lookup(core: &Core<'_>, offset: u64) -> Option<Vec<Location>> {
    let section = |id: gimli::SectionId| {
        let data = core.sections.get(id.name()).copied().unwrap_or_default();
        Ok::<_, gimli::Error>(Reader::new(data, gimli::LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section).ok()?;
    let context = addr2line::Context::from_dwarf(dwarf).ok()?;
    let mut frames = context.find_frames(offset.checked_sub(core.code.start)?).skip_all_loads().ok()?;
    let mut places = Vec::new();
    while let Some(frame) = frames.next().ok()?.filter(|_| places.len() < INLINED_MAX) {
        let name = frame.function.as_ref().and_then(|f| f.demangle().map(Cow::into_owned).ok());
        let place = frame.location.as_ref();
        let file = place.and_then(|place| place.file).map(short);
        places.push(Location { function: name, file, line: place.and_then(|place| place.line), offset: Some(offset) });
    }
    Some(places)
}

/// The path without the folders of the machine it was built on, which are nobody's business.
fn short(path: &str) -> String {
    let path = path.replace('\\', "/");
    match path.rfind("/src/") {
        Some(at) => {
            let parent = path.get(..at).and_then(|before| before.rfind('/')).map_or(0, |slash| slash + 1);
            path.get(parent..).unwrap_or(&path).to_owned()
        }
        None => path.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/"),
    }
}

fn modules(bytes: &[u8]) -> Vec<Core<'_>> {
    let mut found: Vec<Core<'_>> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Module, .. } => found.push(Core::default()),
            Payload::CodeSectionStart { range, .. } => {
                if let Some(core) = found.last_mut() {
                    core.code = range.start as u64..range.end as u64;
                }
            }
            Payload::CustomSection(section) => {
                if let Some(core) = found.last_mut() {
                    core.sections.insert(section.name(), section.data());
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_the_build_machines_folders() {
        assert_eq!(short("/home/someone/work/guest/src/lib.rs"), "guest/src/lib.rs");
        assert_eq!(short("/a/b/c.c"), "b/c.c");
        assert_eq!(short("c.c"), "c.c");
    }

    #[test]
    fn garbage_resolves_to_itself() {
        let at = vec![Location { offset: Some(7), ..Location::default() }];
        assert_eq!(resolve(b"\0asm\x0d\0\x01\0garbage", at.clone()), [at]);
    }
}
