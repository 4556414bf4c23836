//! `station:events/publisher`.

use super::options::Settings;
use crate::host::Host;
use station_engine::News;
use station_kernel::work::SqlError;
use wasmtime::Result;

wasmtime::component::bindgen!({
    path: "../../wit/station-events",
    world: "imports",
    imports: { default: trappable },
});

use station::events::publisher::{self, Error, Event, Limit};

/// Fuel of publishing, apart from the bytes: a row in the database.
const PUBLISH_FUEL: u64 = 50_000;
const TOPIC_BYTES_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 1_024;

type Reply<T> = Result<std::result::Result<T, Error>>;

impl publisher::Host for Host<'_> {
    fn publish(&mut self, event: Event) -> Reply<()> {
        self.announce(event, false)
    }

    fn publish_always(&mut self, event: Event) -> Reply<()> {
        self.announce(event, true)
    }
}

impl Host<'_> {
    fn announce(&mut self, event: Event, always: bool) -> Reply<()> {
        let bytes = event.topic.len() + event.key.len() + event.payload.len();
        self.0.charge(PUBLISH_FUEL + bytes as u64);
        let settings = *self.0.state::<Settings>()?;
        if let Err(error) = check(&event, &settings) {
            return Ok(Err(error));
        }
        let Event { topic, key, payload } = event;
        let news = News { topic, key, payload };
        let done = match always {
            true => self.0.publish_always(news, settings.quota_bytes)?,
            false => self.0.publish(news, settings.quota_bytes)?,
        };
        Ok(done.map_err(|error| self.refused(&error)))
    }

    fn refused(&self, error: &SqlError) -> Error {
        match error {
            SqlError::Denied(_) => Error::Denied,
            SqlError::Busy => Error::Busy,
            SqlError::Limit { name, max } => Error::Limit(Limit { name: name.replace('_', "-"), max: *max }),
            error => {
                tracing::error!(module = %self.0.module(), %error, "an event could not be published");
                Error::Other("the station's log has the details".to_owned())
            }
        }
    }
}

/// An event that may be published.
fn check(event: &Event, settings: &Settings) -> std::result::Result<(), Error> {
    let max = settings.payload_bytes_max;
    if event.payload.len() as u64 > max {
        return Err(Error::Limit(Limit { name: "payload-bytes".to_owned(), max }));
    }
    if event.key.len() > KEY_BYTES_MAX {
        return Err(Error::Invalid(format!("a key has at most {KEY_BYTES_MAX} bytes")));
    }
    match is_topic(&event.topic) {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "a topic is words of a-z, 0-9, - and _ with dots between them, at most {TOPIC_BYTES_MAX} bytes"
        ))),
    }
}

fn is_topic(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    text.len() <= TOPIC_BYTES_MAX && text.split('.').all(|word| !word.is_empty() && word.bytes().all(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str, key: usize, payload: usize) -> Event {
        Event { topic: topic.to_owned(), key: "k".repeat(key), payload: vec![0; payload] }
    }

    #[test]
    fn what_is_too_long_or_no_topic_is_refused() {
        let settings = Settings { payload_bytes_max: 10, ..Settings::default() };
        let longest = "a".repeat(128);
        for topic in ["a", "dossiers.opened", "a-1.b_2.c", longest.as_str()] {
            check(&event(topic, 1_024, 10), &settings).unwrap();
        }
        let longer = "a".repeat(129);
        for topic in ["", ".", "a.", ".a", "a..b", "A", "a b", "a\n", "é", "a*", longer.as_str()] {
            assert!(matches!(check(&event(topic, 0, 0), &settings), Err(Error::Invalid(_))), "{topic:?}");
        }
        assert!(matches!(check(&event("a", 1_025, 0), &settings), Err(Error::Invalid(_))));
        let error = check(&event("a", 0, 11), &settings).unwrap_err();
        assert!(matches!(error, Error::Limit(Limit { ref name, max: 10 }) if name == "payload-bytes"), "{error:?}");
    }
}
