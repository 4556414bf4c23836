//! Logs: the lines a module wrote, read at once or followed as server-sent events.

use crate::{Client, Error, client};
use bytes::BytesMut;
use futures_util::{Stream, stream};
use reqwest::{Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use station_model::CallId;
use std::time::Duration;
use utoipa::ToSchema;

/// One line that a module wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Counts up by one per line of the module, so that gaps show what was dropped.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The root call in which it was written.
    #[schema(value_type = Option<String>)]
    pub call: Option<CallId>,
    /// `stdout`, `stderr`, or a level of `wasi:logging`.
    pub level: String,
    /// The text, without control characters.
    pub text: String,
}

/// Lines of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<LogLine>,
}

/// The station says something at least every 15 seconds; twice that and a little is silence.
const SILENCE_S_MAX: u64 = 40;
/// The longest event: a line of 8 KiB whose every character is escaped, with room to spare.
const EVENT_BYTES_MAX: usize = 256 * 1024;

impl Client {
    /// The last `limit` lines of a module with a number above `after`.
    ///
    /// # Errors
    /// `call.no_such_module` when there is none of this name.
    pub async fn logs(&self, name: &str, after: u64, limit: usize) -> Result<LogPage, Error> {
        let mut request = self.get(&["v1", "modules", name, "logs"])?;
        request.query("after", &after.to_string());
        request.query("limit", &limit.to_string());
        self.answer(request).await
    }

    /// Lines of a module as they are written, beginning after the line number `after`. Ends when the station ends
    /// the connection; ask again with the last `seq` to go on.
    ///
    /// # Errors
    /// As [`logs`](Self::logs), and `station.busy` when too many clients follow already.
    pub async fn follow(
        &self,
        name: &str,
        after: u64,
    ) -> Result<impl Stream<Item = Result<LogLine, Error>> + use<>, Error> {
        let mut request = self.get(&["v1", "modules", name, "logs"])?;
        request.query("after", &after.to_string());
        let url = request.url.clone();
        let builder = self.prepare(request).header(header::ACCEPT, "text/event-stream");
        let response = self.execute(&url, builder).await?;
        let events = Events { url, response, buffer: BytesMut::new() };
        Ok(stream::try_unfold(events, async |mut events| Ok(events.next().await?.map(|line| (line, events)))))
    }
}

struct Events {
    url: Url,
    response: Response,
    buffer: BytesMut,
}

impl Events {
    async fn next(&mut self) -> Result<Option<LogLine>, Error> {
        loop {
            while let Some(event) = take_event(&mut self.buffer) {
                if let Some(data) = data_of(&event) {
                    return client::parse(&self.url, StatusCode::OK, data.as_bytes()).map(Some);
                }
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(client::unexpected(&self.url, StatusCode::OK, "an endless event"));
            }
            let Some(chunk) = self.chunk().await? else { return Ok(None) };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let work = self.response.chunk();
        let read = async { work.await.map_err(|source| client::transport(&self.url, source)) };
        client::within(&self.url, Some(Duration::from_secs(SILENCE_S_MAX)), read).await
    }
}

/// Takes one event, which ends with an empty line, off the front of what came in.
fn take_event(buffer: &mut BytesMut) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let event = buffer.split_to(end + 2);
    Some(String::from_utf8_lossy(&event).into_owned())
}

/// The data of an event; none for a comment, which only keeps the connection alive.
fn data_of(event: &str) -> Option<String> {
    let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_at_empty_lines_and_comments_are_skipped() {
        let mut buffer = BytesMut::from("id: 1\ndata: {\"a\":1}\n\n: keep\n\ndata: x".as_bytes());
        assert_eq!(data_of(&take_event(&mut buffer).unwrap()).unwrap(), "{\"a\":1}");
        assert_eq!(data_of(&take_event(&mut buffer).unwrap()), None);
        assert_eq!(take_event(&mut buffer), None);
    }
}
