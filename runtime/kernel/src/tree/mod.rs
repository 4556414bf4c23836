//! A call tree: one root call, everything it calls, one snapshot of the graph, one budget, one stack trace.
//!
//! The executor tells the tree of every call that begins ([`Tree::enter`]) and ends ([`Tree::leave`]). The tree
//! says whether it may begin, and remembers what is needed for the report: positions and numbers only, no text,
//! so that a call costs no allocation here. Names are looked up when the root call has ended.
//!
//! A tree lives on one thread: the first on which a call begins. Other threads may only [`cancel`](Cancel::set) it.

mod book;
mod cancel;
mod time;
mod unit;

pub use book::Called;
pub use cancel::{Cancel, Reason};
pub use unit::Told;

use crate::graph::{Graph, Node, NodeIndex};
use crate::logs::Logs;
use crate::ports::{Clock, Confine, Executor};
use crate::pulse::{self, Pulse};
use crate::threads;
use crate::work::Work;
use book::{Book, Mark, Open};
use station_model::{CallId, Code, Failure, Frame, FunctionPath, InterfaceName, Location, ModuleName};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Fuel charged per microsecond for a call that ended badly, whose counted fuel is not to be relied on. Measured:
/// one unit takes 0.4 to 1.3 ns of a core; this is less than half of what a busy core gets done.
const FUEL_PER_US: u64 = 400;
const TICK_US: u64 = pulse::TICK.as_micros() as u64;

/// The ceilings of a tree that are the same for every call.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings {
    /// Levels of nested calls.
    pub depth_max: u32,
    /// Calls in one tree.
    pub calls_max: u64,
    /// Bytes of arguments and results that one tree may move between modules.
    pub bytes_max: u64,
    /// Native stack that must be left before a nested call.
    pub stack_bytes_min: usize,
}

/// A root call and everything below it.
pub struct Tree<E: Executor> {
    /// The graph that the whole tree runs on.
    pub graph: Arc<Graph<E>>,
    /// The module that was called.
    pub root: NodeIndex,
    /// What is called in it.
    pub called: Called,
    /// The root call's id.
    pub id: CallId,
    /// Who asked.
    pub principal: String,
    /// Fuel for the whole tree.
    pub fuel: u64,
    /// When the tree must have ended, on the pulse's clock.
    pub deadline_us: u64,
    /// The deadline as it was asked for, for the message.
    pub deadline_ms: u64,
    /// How another thread ends the tree.
    pub cancel: Arc<Cancel>,
    /// The coarse clock.
    pub pulse: Arc<Pulse>,
    /// Where modules write.
    pub logs: Arc<Logs>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Ceilings that are the same for every call.
    pub ceilings: Ceilings,
    /// What it reads and writes.
    pub(crate) work: Work,
    /// Fuel that an earlier attempt at the same call has used.
    pub(crate) spent: u64,
    bytes: AtomicU64,
    waited_us: AtomicU64,
    book: E::Confined<Book>,
}

/// Proof that a call was entered; [`Tree::leave`] takes it back.
#[derive(Debug)]
#[must_use = "a call that was entered must be left"]
pub struct Entered {
    depth: usize,
}

/// How a call ended.
#[derive(Debug)]
pub enum Ended<'a> {
    /// It returned.
    Returned,
    /// It returned an `err`: no failure of the call, but what it wrote is undone.
    Refused,
    /// It failed by itself, here.
    Failed(&'a Failure, Vec<Location>),
    /// It ended because something it called had failed with this code.
    Followed(Code, Vec<Location>),
}

/// What a new tree begins with.
pub struct Beginning<E: Executor> {
    /// The graph.
    pub graph: Arc<Graph<E>>,
    /// The module to call.
    pub root: NodeIndex,
    /// What to call in it.
    pub called: Called,
    /// The id.
    pub id: CallId,
    /// Who asked.
    pub principal: String,
    /// Fuel.
    pub fuel: u64,
    /// Milliseconds until the deadline.
    pub deadline_ms: u64,
    /// The coarse clock.
    pub pulse: Arc<Pulse>,
    /// Where modules write.
    pub logs: Arc<Logs>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Ceilings.
    pub ceilings: Ceilings,
    /// How another thread ends it.
    pub cancel: Arc<Cancel>,
    /// Its unit of work, not opened yet.
    pub work: Work,
}

impl<E: Executor> Tree<E> {
    /// A tree that has not called anything yet. Its time runs from now.
    pub fn new(from: Beginning<E>) -> Self {
        Self {
            deadline_us: from.pulse.exact_us().saturating_add(from.deadline_ms.saturating_mul(1_000)),
            graph: from.graph,
            root: from.root,
            called: from.called,
            id: from.id,
            principal: from.principal,
            fuel: from.fuel,
            deadline_ms: from.deadline_ms,
            cancel: from.cancel,
            pulse: from.pulse,
            logs: from.logs,
            clock: from.clock,
            ceilings: from.ceilings,
            work: from.work,
            spent: 0,
            bytes: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            book: E::Confined::new(Book::default()),
        }
    }

    /// The same call a second time, on what is left of its budget: with the write lock before the first read, so
    /// that it cannot conflict again.
    pub(crate) fn again(&self) -> Self {
        let used = self.frames(true).first().map_or(0, |root| root.fuel);
        Self {
            graph: Arc::clone(&self.graph),
            root: self.root,
            called: self.called.clone(),
            id: self.id,
            principal: self.principal.clone(),
            fuel: self.fuel.saturating_sub(used),
            deadline_us: self.deadline_us,
            deadline_ms: self.deadline_ms,
            cancel: Arc::clone(&self.cancel),
            pulse: Arc::clone(&self.pulse),
            logs: Arc::clone(&self.logs),
            clock: Arc::clone(&self.clock),
            ceilings: self.ceilings,
            work: Work::new(&self.work.shop, &self.pulse, &self.cancel, true),
            spent: self.spent.saturating_add(used),
            bytes: AtomicU64::new(self.bytes.load(Ordering::Relaxed)),
            waited_us: AtomicU64::new(self.waited_us.load(Ordering::Relaxed)),
            book: E::Confined::new(Book { calls: self.calls(), ..Book::default() }),
        }
    }

    /// Asks to call into `node`; granted while depth, stack, time and the number of calls allow it.
    ///
    /// # Errors
    /// `call.depth`, `call.deadline`, `call.cancelled`, `call.resource_limit`, `station.draining`.
    pub fn enter(&self, node: NodeIndex, what: Called) -> Result<Entered, Failure> {
        self.cancel.check()?;
        self.book(|book| self.begin(book, node, what)).unwrap_or_else(|| Err(elsewhere()))
    }

    fn begin(&self, book: &mut Book, node: NodeIndex, what: Called) -> Result<Entered, Failure> {
        let (depth, due) = (book.open.len(), self.due_in(book));
        // A root call may have waited for its turn, and the coarse clock would give it up to a tick too much.
        let now = if depth == 0 { self.pulse.exact_us() } else { self.pulse.coarse_us() };
        if now >= due.0 {
            return Err(self.past(due));
        }
        self.check_depth(depth)?;
        self.check_calls(book.calls)?;
        book.begin(depth, self.opened(node, what, now, due));
        Ok(Entered { depth })
    }

    /// A call that begins at `now` below a caller that is due at `above`. A callee has its own limit as well, where
    /// that is the earlier one.
    fn opened(&self, node: NodeIndex, what: Called, now: u64, above: (u64, u64)) -> Open {
        let limit_ms = self.graph.node(node).map_or(self.deadline_ms, |node| node.settings.limits.deadline_ms);
        let own = (now.saturating_add(limit_ms.saturating_mul(1_000)), limit_ms);
        let (deadline_us, deadline_ms) = if own.0 < above.0 { own } else { above };
        let waited_us = self.waited_us.load(Ordering::Relaxed);
        Open { node, what, entered_us: now, waited_us, deadline_us, deadline_ms, children_fuel: 0, slot: None }
    }

    fn check_calls(&self, calls: u64) -> Result<(), Failure> {
        if calls < self.ceilings.calls_max {
            return Ok(());
        }
        let failure = Failure::new(Code::CallResourceLimit, "the call tree makes too many calls");
        Err(failure.with_limit("calls_max", self.ceilings.calls_max, calls + 1))
    }

    /// Remembers how a call ended and returns the fuel to charge its caller: what was counted, or after a failure
    /// at least what the elapsed time is worth, but then no more than was lent.
    pub fn leave(&self, entered: Entered, lent: u64, counted: u64, ended: Ended<'_>) -> u64 {
        let stays = matches!(ended, Ended::Returned);
        let fuel = self.book(|book| self.end(book, &entered, lent, counted, ended)).unwrap_or(counted);
        self.work.leave(entered.depth, stays);
        fuel
    }

    fn end(&self, book: &mut Book, entered: &Entered, lent: u64, counted: u64, ended: Ended<'_>) -> u64 {
        let Some(open) = book.open.pop() else { return counted };
        debug_assert_eq!(book.open.len(), entered.depth, "calls are left in the reverse of their order");
        let returned = matches!(ended, Ended::Returned | Ended::Refused);
        let fuel = if returned { counted } else { counted.max(self.worth_of_time(&open).min(lent)) };
        if let Some(above) = book.open.last_mut() {
            above.children_fuel = above.children_fuel.saturating_add(fuel);
        }
        book.count(open.node, fuel.saturating_sub(open.children_fuel), !returned);
        match ended {
            Ended::Returned | Ended::Refused => book.close(&open, fuel),
            Ended::Failed(failure, at) => book.close_failed(&open, entered.depth, fuel, (failure.code, at), true),
            // A failure without a frame of its own, such as a refused call, began in the first frame that it ends.
            Ended::Followed(code, at) => {
                let origin = !book.path_is_fresh;
                book.close_failed(&open, entered.depth, fuel, (code, at), origin);
            }
        }
        fuel
    }

    /// What the time since the call began is worth, waiting left out. Its beginning is known to a tick only, in the
    /// call's favour.
    fn worth_of_time(&self, open: &Open) -> u64 {
        let waited = self.waited_us.load(Ordering::Relaxed).saturating_sub(open.waited_us);
        let began = open.entered_us.saturating_add(TICK_US).saturating_add(waited);
        self.pulse.exact_us().saturating_sub(began).saturating_mul(FUEL_PER_US)
    }

    fn check_depth(&self, depth: usize) -> Result<(), Failure> {
        let max = u64::from(self.ceilings.depth_max);
        if depth as u64 >= max {
            let failure = Failure::new(Code::CallDepth, format!("calls may be nested {max} deep"));
            return Err(failure.with_limit("depth_max", max, depth as u64 + 1));
        }
        let left = threads::stack_left();
        if left < self.ceilings.stack_bytes_min {
            let failure = Failure::new(Code::CallDepth, "too little native stack is left for another nested call");
            return Err(failure.with_limit("stack_bytes", self.ceilings.stack_bytes_min as u64, left as u64));
        }
        Ok(())
    }

    /// Adds what was used to the modules' meters. They are shared by all trees, so it is done once, at the end.
    pub(crate) fn settle(&self) {
        for used in self.book(|book| std::mem::take(&mut book.used)).unwrap_or_default() {
            if let Some(node) = self.graph.node(used.node) {
                node.meter.add(used.calls, used.failures, used.fuel);
            }
        }
    }

    /// Counts bytes that move between modules.
    ///
    /// # Errors
    /// `call.resource_limit`.
    pub fn move_bytes(&self, bytes: u64) -> Result<(), Failure> {
        // A tree lives on one thread, so nobody else adds meanwhile; the bus need not be locked for it.
        let used = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        self.bytes.store(used, Ordering::Relaxed);
        if used > self.ceilings.bytes_max {
            let failure = Failure::new(Code::CallResourceLimit, "the call tree moves too much data between modules");
            return Err(failure.with_limit("bytes_max", self.ceilings.bytes_max, used));
        }
        Ok(())
    }

    /// The module that called the one that runs now; none for the root call.
    pub fn caller(&self) -> Option<ModuleName> {
        let below = |book: &mut Book| Some(book.open.get(book.open.len().checked_sub(2)?)?.node);
        self.graph.node(self.book(below)??).map(|node| node.name.clone())
    }

    /// The module that runs now, or ran when the call was unwound.
    pub(crate) fn innermost(&self) -> Option<&Node<E>> {
        let node = self.book(|book| book.open.last().map(|open| open.node)).flatten();
        self.graph.node(node.unwrap_or(self.root))
    }

    /// Levels of nested calls that are left.
    pub fn depth_left(&self) -> u32 {
        let depth = u32::try_from(self.depth()).unwrap_or(u32::MAX);
        self.ceilings.depth_max.saturating_sub(depth)
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.book(|book| book.calls).unwrap_or_default()
    }

    /// Calls that run now, one inside the other.
    fn depth(&self) -> usize {
        self.book(|book| book.open.len()).unwrap_or_default()
    }

    /// The frames of the ended tree: after a failure the stack down to the culprit, otherwise the calls in order.
    pub fn frames(&self, failed: bool) -> Vec<Frame> {
        let frames = |book: &mut Book| {
            let marks = if failed && !book.path.is_empty() { &book.path } else { &book.done };
            marks.iter().filter_map(|mark| self.frame(mark)).collect()
        };
        self.book(frames).unwrap_or_default()
    }

    fn frame(&self, mark: &Mark) -> Option<Frame> {
        let node = self.graph.node(mark.node)?;
        let (interface, function) = match &mark.what {
            Called::Function(found) => {
                let export = node.world.exports.get(found.export)?;
                let name = export.functions.get(found.function)?.name.clone();
                ((!export.root).then(|| export.name.clone()), name)
            }
            Called::Drop { export } => {
                (node.world.exports.get(*export).map(|e| e.name.clone()), "[resource-drop]".to_owned())
            }
            Called::Handler(name) => handler(node, name),
        };
        Some(Frame {
            module: node.name.clone(),
            revision: node.digest,
            interface,
            function,
            depth: mark.depth,
            fuel: mark.fuel,
            outcome: mark.outcome,
            at: mark.at.clone(),
        })
    }

    /// What is remembered of the calls. Nothing on any thread but the call's own.
    fn book<R>(&self, look: impl FnOnce(&mut Book) -> R) -> Option<R> {
        self.book.with(look)
    }
}

fn elsewhere() -> Failure {
    Failure::new(Code::StationInternal, "a call tree was used on a thread that is not its own")
}

/// The interface of a handler as the module exports it, with its version, and the function.
fn handler<E: Executor>(node: &Node<E>, name: &str) -> (Option<InterfaceName>, String) {
    let Ok(FunctionPath { interface: Some(wanted), function }) = name.parse() else { return (None, name.to_owned()) };
    let exported = node.world.exports.iter().find(|export| export.name.same_interface(&wanted));
    (Some(exported.map_or(wanted, |export| export.name.clone())), function)
}
