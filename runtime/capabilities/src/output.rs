//! What a module writes: stdout, stderr and `wasi:logging`, as lines in its log.
//!
//! A stream has no lines, so bytes are gathered until one is complete. The last, unfinished line is kept when the
//! next call writes to the same instance, or when the instance is dropped. A call may write 1 MiB in all; what is
//! beyond is dropped and counted in one line at the end. A line is cut at 8 KiB and cleaned by [`Logs`].

use bytes::Bytes;
use station_kernel::{Clock, Logs};
use station_model::{CallId, ModuleName};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamResult};

/// Bytes that one call may write: some thousand lines, more than the log keeps.
const CALL_BYTES_MAX: u64 = 1 << 20;
/// What a line costs of that beside its bytes, so that a megabyte of line ends is not a million lines.
const LINE_BYTES: u64 = 64;
/// Bytes of an unfinished line that are kept; the log cuts there anyway.
const PARTIAL_BYTES_MAX: usize = 8 * 1024;
/// What a stream takes at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Out,
    Err,
}

/// The output of one instance; a clone is the same output.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    module: ModuleName,
    call: Option<CallId>,
    left: u64,
    dropped: u64,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output {
    pub(crate) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>, module: ModuleName) -> Self {
        let (out, err) = (Vec::new(), Vec::new());
        let lines = Lines { logs, clock, module, call: None, left: CALL_BYTES_MAX, dropped: 0, out, err };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// A stream into this output. All streams of a channel are one.
    pub(crate) fn stream(&self, channel: Channel) -> DynOutputStream {
        Box::new(Stream { lines: Arc::clone(&self.0), channel })
    }

    /// Says which call writes from now on; what an earlier one left unfinished is finished first.
    pub(crate) fn written_by(&self, call: Option<CallId>) {
        let mut lines = lock(&self.0);
        if lines.call != call {
            lines.finish();
            lines.call = call;
        }
    }

    /// Keeps a whole line.
    pub(crate) fn line(&self, level: &str, text: &str) {
        lock(&self.0).line(level, text);
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    fn write(&mut self, channel: Channel, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let partial = self.partial(channel);
            let room = PARTIAL_BYTES_MAX.saturating_sub(partial.len());
            partial.extend(text.iter().take(room));
            if ended {
                self.end_line(channel);
            }
        }
    }

    fn end_line(&mut self, channel: Channel) {
        let line = std::mem::take(self.partial(channel));
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.line(channel.level(), &String::from_utf8_lossy(line));
    }

    fn line(&mut self, level: &str, text: &str) {
        let cost = LINE_BYTES + text.len() as u64;
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                self.keep(level, text);
            }
            None => self.dropped += 1,
        }
    }

    fn keep(&self, level: &str, text: &str) {
        self.logs.write(&self.module, self.clock.now_ms(), self.call, level, text);
    }

    fn partial(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Out => &mut self.out,
            Channel::Err => &mut self.err,
        }
    }

    fn finish(&mut self) {
        for channel in [Channel::Out, Channel::Err] {
            if !self.partial(channel).is_empty() {
                self.end_line(channel);
            }
        }
        if self.dropped > 0 {
            let text = format!("{} more lines were dropped: a call may write {CALL_BYTES_MAX} bytes", self.dropped);
            self.keep("warn", &text);
        }
        (self.left, self.dropped) = (CALL_BYTES_MAX, 0);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Channel {
    fn level(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

struct Stream {
    lines: Arc<Mutex<Lines>>,
    channel: Channel,
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        lock(&self.lines).write(self.channel, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use station_kernel::Line;

    struct Noon;

    impl Clock for Noon {
        fn now_ms(&self) -> u64 {
            12
        }
    }

    fn output() -> (Output, Arc<Logs>) {
        let logs = Arc::<Logs>::default();
        (Output::new(Arc::clone(&logs), Arc::new(Noon), "m".parse().unwrap()), logs)
    }

    fn lines(logs: &Logs) -> Vec<Line> {
        logs.read(&"m".parse().unwrap(), 0, usize::MAX)
    }

    fn texts(logs: &Logs) -> Vec<String> {
        lines(logs).into_iter().map(|line| format!("{}: {}", line.level, line.text)).collect()
    }

    #[test]
    fn bytes_become_lines_per_channel() {
        let (output, logs) = output();
        let (mut out, mut err) = (output.stream(Channel::Out), output.stream(Channel::Err));
        out.write("a".into()).unwrap();
        err.write("x\r\ny".into()).unwrap();
        out.write("b\n\nc\n".into()).unwrap();
        assert_eq!(texts(&logs), ["stderr: x", "stdout: ab", "stdout: ", "stdout: c"]);
    }

    #[test]
    fn an_unfinished_line_is_kept_when_the_instance_is_dropped() {
        let (output, logs) = output();
        let mut out = output.stream(Channel::Out);
        out.write("last".into()).unwrap();
        assert!(texts(&logs).is_empty());
        drop((output, out));
        assert_eq!(texts(&logs), ["stdout: last"]);
    }

    #[test]
    fn an_unfinished_line_belongs_to_the_call_that_wrote_it() {
        let (output, logs) = output();
        let (one, two) = (Some(CallId::from_u128(1)), Some(CallId::from_u128(2)));
        let mut out = output.stream(Channel::Out);
        output.written_by(one);
        out.write("first".into()).unwrap();
        output.written_by(two);
        out.write("second\n".into()).unwrap();
        let calls: Vec<_> = lines(&logs).into_iter().map(|line| line.call).collect();
        assert_eq!(calls, [one, two]);
    }

    #[test]
    fn a_call_that_writes_too_much_is_cut_and_the_next_one_is_not() {
        let (output, logs) = output();
        output.written_by(Some(CallId::from_u128(1)));
        let mut out = output.stream(Channel::Out);
        for _ in 0..1_000 {
            out.write(vec![b'\n'; 1_000].into()).unwrap();
        }
        output.written_by(Some(CallId::from_u128(2)));
        let fits = CALL_BYTES_MAX / LINE_BYTES;
        let expected = format!("warn: {} more lines were dropped: a call may write 1048576 bytes", 1_000_000 - fits);
        assert_eq!(texts(&logs).last().unwrap(), &expected);
        out.write("again\n".into()).unwrap();
        assert_eq!(texts(&logs).last().unwrap(), "stdout: again");
    }

    #[test]
    fn a_line_without_end_is_bounded_and_bytes_that_are_not_text_are_shown() {
        let (output, logs) = output();
        let mut out = output.stream(Channel::Out);
        for _ in 0..100 {
            out.write(vec![b'a'; WRITE_BYTES_MAX].into()).unwrap();
        }
        assert_eq!(lock(&output.0).out.len(), PARTIAL_BYTES_MAX);
        out.write(Bytes::from_static(b"\n\xff\n")).unwrap();
        let kept = texts(&logs);
        assert_eq!(kept.first().unwrap().len(), "stdout: ".len() + PARTIAL_BYTES_MAX);
        assert_eq!(kept.last().unwrap(), "stdout: \u{fffd}");
    }
}
