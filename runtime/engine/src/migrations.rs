//! The migrations that a component brings: custom sections `station:migration/V1__init.sql`, or the answer of an
//! exported `station:sql/migrations`.
//!
//! Sections need no code to run and are what `station build` makes of a folder `migrations/`; the export is for
//! languages whose tools write no sections. A component has one or the other.

use crate::ctx::Ctx;
use station_kernel::state::Migration;
use station_model::{Code, Failure, InterfaceName};
use wasmparser::{Parser, Payload};
use wasmtime::Store;
use wasmtime::component::{Instance, Val};

/// What a section's name begins with.
const SECTION: &str = "station:migration/";
/// The interface, in any version that is compatible with ours.
const INTERFACE: &str = "station:sql/migrations@0.1.0";
const FUNCTION: &str = "list-migrations";
/// Steps of one module. One a day for three years.
const COUNT_MAX: usize = 1_000;
/// Bytes of all steps. Each is remembered with its revision.
const BYTES_MAX: usize = 1 << 20;

/// True for the interface that a module may export although it is the station's.
pub(crate) fn is_interface(name: &InterfaceName) -> bool {
    INTERFACE.parse::<InterfaceName>().is_ok_and(|ours| name.same_interface(&ours))
}

/// The migrations in a component's custom sections, also those of the core modules in it, in their order.
///
/// # Errors
/// `upload.bad_name` for a section that is not named `V<n>__<name>.sql`, `upload.invalid` for one that is no text,
/// `upload.limit` for too many.
pub(crate) fn sections(bytes: &[u8]) -> Result<Vec<Migration>, Failure> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let Some(file) = section.name().strip_prefix(SECTION) else { continue };
        let (version, name) = named(file).ok_or_else(|| bad_name(file))?;
        let sql = std::str::from_utf8(section.data()).map_err(|_| no_text(file))?;
        found.push(Migration { version, name, sql: sql.to_owned() });
        within(&found)?;
    }
    found.sort_by_key(|migration| migration.version);
    Ok(found)
}

/// `V12__add_users.sql` is 12 and `add_users`.
fn named(file: &str) -> Option<(u32, String)> {
    let (version, name) = file.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let version = version.parse().ok().filter(|version| *version > 0)?;
    (plain && (1..=100).contains(&name.len())).then(|| (version, name.to_owned()))
}

/// What an instance answers to `list-migrations`; nothing if it does not export that.
///
/// # Errors
/// Whatever the call does wrong, and `upload.limit`.
pub(crate) fn exported(store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<Vec<Migration>> {
    let interface = instance.get_export_index(&mut *store, None, INTERFACE);
    let function = interface.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), FUNCTION));
    let Some(function) = function.and_then(|function| instance.get_func(&mut *store, function)) else {
        return Ok(Vec::new());
    };
    let mut results = [Val::Bool(false)];
    function.call(&mut *store, &[], &mut results)?;
    let [Val::List(list)] = &results else { return Err(not_as_it_should_be().into()) };
    let found = list.iter().map(migration).collect::<Option<Vec<_>>>().ok_or_else(not_as_it_should_be)?;
    within(&found)?;
    Ok(found)
}

fn migration(value: &Val) -> Option<Migration> {
    let Val::Record(fields) = value else { return None };
    match fields.as_slice() {
        [(_, Val::U32(version)), (_, Val::String(name)), (_, Val::String(sql))] => {
            Some(Migration { version: *version, name: name.chars().take(100).collect(), sql: sql.clone() })
        }
        _ => None,
    }
}

fn within(found: &[Migration]) -> Result<(), Failure> {
    let bytes: usize = found.iter().map(|migration| migration.sql.len()).sum();
    let (name, max, used) = match (found.len() > COUNT_MAX, bytes > BYTES_MAX) {
        (true, _) => ("migrations", COUNT_MAX, found.len()),
        (_, true) => ("migration_bytes", BYTES_MAX, bytes),
        _ => return Ok(()),
    };
    let failure = Failure::new(Code::UploadLimit, "the component brings too many migrations, or too long ones");
    Err(failure.with_limit(name, max as u64, used as u64))
}

fn bad_name(file: &str) -> Failure {
    let file: String = file.chars().take(100).collect();
    Failure::new(Code::UploadBadName, format!("the migration {file:?} is not named like `V1__init.sql`"))
}

fn no_text(file: &str) -> Failure {
    Failure::new(Code::UploadInvalid, format!("the migration {file:?} is not UTF-8"))
}

fn not_as_it_should_be() -> Failure {
    let message = format!("{INTERFACE}#{FUNCTION} is not as wit/station-sql says");
    Failure::new(Code::LinkTypeMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for (name, data) in sections {
            let length = 1 + name.len() + data.len();
            bytes.extend([0, u8::try_from(length).unwrap(), u8::try_from(name.len()).unwrap()]);
            bytes.extend(name.as_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    #[test]
    fn sections_are_read_in_the_order_of_their_versions() {
        let bytes = component(&[
            ("station:migration/V2__more.sql", b"two"),
            ("other", b"x"),
            ("station:migration/V1__init.sql", b"one"),
        ]);
        let found = sections(&bytes).unwrap();
        let told: Vec<_> = found.iter().map(|m| (m.version, m.name.as_str(), m.sql.as_str())).collect();
        assert_eq!(told, [(1, "init", "one"), (2, "more", "two")]);
    }

    #[test]
    fn a_section_that_is_misnamed_is_refused() {
        for name in ["V0__x.sql", "V1_x.sql", "v1__x.sql", "V1__.sql", "V1__x", "Vx__x.sql", "V1__a b.sql"] {
            let bytes = component(&[(&format!("station:migration/{name}"), b"x")]);
            assert_eq!(sections(&bytes).unwrap_err().code, Code::UploadBadName, "{name}");
        }
        let bytes = component(&[("station:migration/V1__x.sql", b"\xff")]);
        assert_eq!(sections(&bytes).unwrap_err().code, Code::UploadInvalid);
    }
}
