//! The outbox: events that modules have published, in the order in which they were committed.
//!
//! An event is a row like any other, written in the unit of work of the call that publishes it, so it is there when and
//! only when everything else is that the call has written. It stays when its module is removed; the operator takes old
//! ones away. The bytes that a module's events take are counted by triggers, as those of its keys are.

use crate::{
    Fault,
    change::{integer, run},
    load::Owner,
};
use rusqlite::{Connection, Row, params};
use station_kernel::events::{Event, Published, Wanted};
use station_model::ModuleName;

/// Bytes of events in one answer, or one event if that is larger.
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// Adds an event.
pub(crate) fn publish(tx: &Connection, id: i64, module: &ModuleName, event: &Event) -> Result<(), Fault> {
    run(
        tx,
        "INSERT INTO events (module, name, topic, key, call, at_ms, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            id,
            module.as_str(),
            event.topic,
            event.key,
            event.call.to_string(),
            integer("the time of an event", event.at_ms)?,
            event.payload,
        ],
    )
}

/// Bytes of a module's events: the triggers count each as [`Event::bytes`] does.
pub(crate) fn used(db: &Connection, id: i64) -> Result<u64, Fault> {
    let sql = "SELECT max(event_bytes, 0) FROM modules WHERE id = ?1";
    let bytes: i64 = db.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    Ok(bytes.unsigned_abs())
}

/// The events after an offset, or the last ones, oldest first: as many as are wanted, and no more than fit into one
/// answer.
pub(crate) fn page(db: &Connection, wanted: &Wanted) -> Result<Vec<Published>, Fault> {
    let order = if wanted.after.is_some() { "ASC" } else { "DESC" };
    let sql = format!(
        r#"SELECT "offset", name, topic, key, call, at_ms, payload FROM events
        WHERE "offset" > ?1 AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR topic = ?3) ORDER BY "offset" {order} LIMIT ?4"#
    );
    let after = integer("an offset", wanted.after.unwrap_or(0))?;
    let module = wanted.module.as_ref().map(ModuleName::as_str);
    let mut statement = db.prepare_cached(&sql)?;
    let mut found = statement.query(params![after, module, wanted.topic, wanted.limit])?;
    let (mut page, mut bytes) = (Vec::new(), 0_u64);
    while let Some(row) = found.next()? {
        let published = published(row)?;
        bytes = bytes.saturating_add(published.event.bytes());
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(published);
    }
    if wanted.after.is_none() {
        page.reverse();
    }
    Ok(page)
}

/// Removes the events up to and including an offset. Their offsets do not come back.
pub(crate) fn prune(tx: &Connection, through: u64) -> Result<(), Fault> {
    run(tx, r#"DELETE FROM events WHERE "offset" <= ?1"#, [integer("an offset", through)?])
}

fn published(row: &Row<'_>) -> Result<Published, Fault> {
    let offset: i64 = row.get(0)?;
    let owner = Owner::Event(offset);
    let (module, call): (String, String) = (row.get(1)?, row.get(4)?);
    let at_ms: i64 = row.get(5)?;
    Ok(Published {
        offset: offset.unsigned_abs(),
        module: owner.parse("module", &module)?,
        event: Event {
            topic: row.get(2)?,
            key: row.get(3)?,
            call: owner.parse("call", &call)?,
            at_ms: at_ms.unsigned_abs(),
            payload: row.get(6)?,
        },
    })
}
