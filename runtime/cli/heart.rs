//! What a command says while it works for long: a bar on a terminal, elsewhere a line every few seconds.
//!
//! A command that is done sooner says nothing elsewhere. Dropping it is the end of the work.

use crate::{out, units};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Between two lines: long enough for a log, short enough for a person who wonders.
const BEAT: Duration = Duration::from_secs(5);

/// Shows that a command is alive, and how far it is.
pub(crate) struct Heart {
    bar: ProgressBar,
    state: Arc<State>,
    lines: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    now: Mutex<Now>,
    ended: Condvar,
}

#[derive(Default)]
struct Now {
    doing: String,
    done: u64,
    total: Option<u64>,
    ended: bool,
}

impl State {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn line(&self, elapsed: Duration) -> String {
        let far = match self.total {
            Some(total) => format!(" {} of {}", units::about(self.done), units::about(total)),
            None => String::new(),
        };
        format!("{}{far}, {} s", self.doing, elapsed.as_secs())
    }
}

impl Heart {
    /// One that begins with this.
    pub(crate) fn beating(doing: &str, quiet: bool) -> Self {
        let watched = out::watched();
        let lines = !quiet && !watched;
        let mut heart = Self::saying(lines.then_some(BEAT), out::say);
        if !quiet && watched {
            heart.bar = ProgressBar::no_length();
        }
        heart.bar.enable_steady_tick(Duration::from_millis(100));
        heart.doing(doing, None);
        heart
    }

    fn saying(beat: Option<Duration>, say: impl Fn(&str) + Send + 'static) -> Self {
        let state = Arc::<State>::default();
        let beats = beat.and_then(|beat| {
            let state = Arc::clone(&state);
            // Without a thread there are no lines, and the work goes on.
            thread::Builder::new().name("heart".to_owned()).spawn(move || beats(&state, beat, say)).ok()
        });
        Self { bar: ProgressBar::hidden(), state, lines: beats }
    }

    /// Something else is done now, of so many bytes if that is known.
    pub(crate) fn doing(&self, doing: &str, total: Option<u64>) {
        {
            let mut now = self.state.now();
            *now = Now { doing: doing.to_owned(), total, ..Now::default() };
        }
        let style = match total {
            Some(_) => ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {eta}"),
            None => ProgressStyle::with_template("{spinner} {msg}, {elapsed}"),
        };
        if let Ok(style) = style {
            self.bar.set_style(style);
        }
        self.bar.set_position(0);
        self.bar.set_length(total.unwrap_or(0));
        self.bar.set_message(doing.to_owned());
    }

    /// So many bytes more are done.
    pub(crate) fn done(&self, bytes: u64) {
        self.state.now().done += bytes;
        self.bar.inc(bytes);
    }
}

fn beats(state: &State, beat: Duration, say: impl Fn(&str)) {
    let began = Instant::now();
    let mut now = state.now();
    loop {
        let waited = state.ended.wait_timeout_while(now, beat, |now| !now.ended);
        now = waited.unwrap_or_else(PoisonError::into_inner).0;
        if now.ended {
            return;
        }
        say(&now.line(began.elapsed()));
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.state.now().ended = true;
        self.state.ended.notify_all();
        if let Some(lines) = self.lines.take() {
            let _it_only_talks = lines.join();
        }
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn it_says_what_is_done_until_it_is_dropped() {
        let (say, said) = mpsc::channel();
        let heart = Heart::saying(Some(Duration::from_millis(1)), move |line| drop(say.send(line.to_owned())));
        heart.doing("copying", Some(3 << 20));
        heart.done(1 << 20);
        let far = "copying 1.0 MiB of 3.0 MiB, 0 s";
        assert!(said.iter().any(|line| line == far));
        heart.doing("checking", None);
        assert!(said.iter().any(|line| line == "checking, 0 s"));
        drop(heart);
        // The sender is gone with the thread, so this ends.
        assert!(said.iter().all(|line| line.starts_with("checking, ")));
    }
}
