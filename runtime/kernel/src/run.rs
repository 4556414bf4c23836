//! Root calls: admission, a call thread, the report.

use crate::graph::{Health, Node};
use crate::journal::Journal;
use crate::kernel::Kernel;
use crate::places::Place;
use crate::ports::Executor;
use crate::tree::{Beginning, Called, Cancel, Reason, Tree};
use crate::work::{Mark, Units, Work};
use serde_json::Value;
use station_model::{CallId, CallReport, Code, Failure, FunctionPath, ModuleName};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// A unit of work that is open for longer than this is told of in the station's log, in microseconds.
const LONG_UNIT_US: u64 = 1_000_000;

/// What a root call is aimed at.
#[derive(Debug, Clone)]
pub enum Target {
    /// An exported function.
    Function(FunctionPath),
    /// A handler that the host calls, by the name it has in traces.
    Handler(&'static str),
}

/// A root call.
pub struct RootCall<E: Executor> {
    /// The module to call.
    pub module: ModuleName,
    /// What to call in it.
    pub target: Target,
    /// Who asks.
    pub principal: String,
    /// Its id.
    pub id: CallId,
    /// At most this much fuel; the module's limit when less.
    pub fuel: Option<u64>,
    /// At most this many milliseconds; the module's limit when less.
    pub deadline_ms: Option<u64>,
    /// What it carries in.
    pub entry: E::Entry,
}

/// How a root call ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What it returned, for an entry that answers with JSON.
    pub result: Option<Value>,
    /// Fuel, time, frames and the failure.
    pub report: Arc<CallReport>,
}

/// A root call that has begun. Dropping it cancels the call, unless that has ended or is [let be](Self::let_be).
pub struct Underway {
    cancel: Option<Arc<Cancel>>,
    closed: oneshot::Receiver<(Ended, Mark)>,
    units: Arc<dyn Units>,
    journal: Arc<Journal>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(cancel) = &self.cancel {
            cancel.set(Reason::ClientGone);
        }
    }
}

impl Underway {
    /// Waits until the call has ended and everything that its answer is made of is on the disk. No thread is held
    /// meanwhile, so that the commits of many calls share one flush. Dropping the future cancels nothing.
    ///
    /// # Errors
    /// `station.internal` when the call was lost or the disk refused.
    pub async fn ended(&mut self) -> Result<Ended, Failure> {
        let closed = (&mut self.closed).await;
        self.let_be();
        let (ended, mark) = closed.map_err(|_| internal())?;
        if mark == Mark::default() {
            return Ok(ended);
        }
        match self.units.durable(mark).await {
            Ok(()) => Ok(ended),
            Err(_) => {
                let failure = not_durable();
                self.journal.doubt(&ended.report, &failure);
                Err(failure)
            }
        }
    }

    /// Nobody waits for the call any more, and it goes on.
    pub fn let_be(&mut self) {
        self.cancel = None;
    }
}

impl<E: Executor> Kernel<E> {
    /// Runs a root call to its end. Dropping the future cancels the call.
    ///
    /// # Errors
    /// What kept the call from beginning: `call.no_such_module`, `call.no_such_function`, `call.not_ready`,
    /// `station.busy`, `station.draining`. A call that began and failed is an answer; its report has the failure.
    pub async fn run(self: &Arc<Self>, call: RootCall<E>) -> Result<Ended, Failure> {
        self.begin(call).await?.ended().await
    }

    /// Begins a root call: waits for its place and gives it to a call thread.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn begin(self: &Arc<Self>, call: RootCall<E>) -> Result<Underway, Failure> {
        let started_ms = self.clock().now_ms();
        let graph = self.graph_now();
        let (root, called) = self.find(&graph, &call)?;
        let node = graph.node(root).ok_or_else(|| no_such_module(&call.module))?;
        let limits = &node.settings.limits;
        let cancel = Arc::default();
        let tree = Tree::new(Beginning {
            root,
            called,
            id: call.id,
            principal: call.principal,
            fuel: call.fuel.unwrap_or(limits.fuel).min(limits.fuel),
            deadline_ms: call.deadline_ms.unwrap_or(limits.deadline_ms).min(limits.deadline_ms),
            pulse: Arc::clone(self.pulse()),
            logs: Arc::clone(self.logs()),
            clock: Arc::clone(self.clock()),
            ceilings: self.settings().ceilings,
            graph: Arc::clone(&graph),
            work: Work::new(self.shop(), self.pulse(), &cancel, false),
            cancel,
        });
        let tree = Arc::new(tree);
        let permit = self.admit(node, &tree).await?;
        // The drain may have begun while this call waited for its place.
        self.open_for_calls()?;
        let cancel = Some(Arc::clone(&tree.cancel));
        let account = Account {
            journal: Arc::clone(self.journal()),
            tree,
            started_ms,
            module: call.module,
            function: named(&call.target),
        };
        let closed = self.on_thread(account, call.entry, permit)?;
        Ok(Underway { cancel, closed, units: Arc::clone(&self.shop().units), journal: Arc::clone(self.journal()) })
    }

    fn find(
        &self,
        graph: &crate::graph::Graph<E>,
        call: &RootCall<E>,
    ) -> Result<(crate::graph::NodeIndex, Called), Failure> {
        self.open_for_calls()?;
        let Some(root) = graph.find(&call.module) else { return Err(self.not_loaded(&call.module)) };
        let node = graph.node(root).ok_or_else(|| no_such_module(&call.module))?;
        let called = match &call.target {
            Target::Function(path) => Called::Function(node.resolve(path)?),
            Target::Handler(name) => Called::Handler(name),
        };
        ready(node)?;
        Ok((root, called))
    }

    pub(crate) fn open_for_calls(&self) -> Result<(), Failure> {
        match self.accepts_calls() {
            true => Ok(()),
            false => Err(Failure::new(Code::StationDraining, "the station is shutting down")),
        }
    }

    fn not_loaded(&self, module: &ModuleName) -> Failure {
        match self.broken(module) {
            Some(why) => {
                Failure::new(Code::CallNotReady, format!("module {module} cannot be called now: {}", why.message))
            }
            None => no_such_module(module),
        }
    }

    /// Waits for a place among the module's root calls, so that no module can take every call thread.
    async fn admit(&self, node: &Node<E>, tree: &Tree<E>) -> Result<Place, Failure> {
        let places = self.places(&node.name, node.settings.limits.instances_max);
        let waiting = self.waiting().fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(self.waiting());
        let busy = || {
            Failure::new(Code::StationBusy, format!("module {} serves as many calls as it may; try again", node.name))
        };
        // Most find a place at once, and need no timer.
        let place = places.try_take();
        if place.is_some() || waiting >= self.settings().queue_max as u64 {
            return place.ok_or_else(busy);
        }
        let left = tree.deadline_us.saturating_sub(tree.pulse.exact_us());
        match tokio::time::timeout(Duration::from_micros(left), places.take()).await {
            Ok(Some(place)) => Ok(place),
            _ => Err(busy()),
        }
    }

    /// Has a call thread run the call and write its report, which is kept also when nobody waits for it any more.
    fn on_thread(
        self: &Arc<Self>,
        account: Account<E>,
        entry: E::Entry,
        permit: Place,
    ) -> Result<oneshot::Receiver<(Ended, Mark)>, Failure> {
        let (send, receive) = oneshot::channel();
        let running = self.register(&account.tree);
        let (executor, kernel) = (Arc::clone(self.executor()), Arc::downgrade(self));
        let job = move || {
            // Not held by the job: who drops the last kernel must not be one of its own threads.
            let blame = |tree: &Tree<E>| kernel.upgrade().into_iter().for_each(|kernel| kernel.blame(tree));
            let (account, outcome) = attempts(&*executor, account, entry, &blame);
            let closed = account.close(outcome);
            // The place must be free before the answer is there, or a patient caller finds it taken.
            drop((permit, running));
            let _caller_may_be_gone = send.send(closed);
            executor.rest();
        };
        let busy = |_| Failure::new(Code::StationBusy, "all call threads are taken and the queue is full; try again");
        self.threads().run(job).map_err(busy)?;
        Ok(receive)
    }
}

/// Told of a tree in which a host function panicked.
type Blame<'a, E> = &'a dyn Fn(&Tree<E>);

type Outcome = Result<(Option<Value>, Mark), Failure>;

/// Runs the call, and once more if others changed what it had read and nobody would notice.
fn attempts<E: Executor>(
    executor: &E,
    mut account: Account<E>,
    entry: E::Entry,
    blame: Blame<'_, E>,
) -> (Account<E>, Outcome) {
    let spare = executor.spare(&entry);
    let outcome = attempt(executor, &account.tree, entry, blame);
    let Some(spare) = spare.filter(|_| outcome.is_err() && account.tree.work.may_run_again()) else {
        let outcome = told(&account.tree, outcome);
        return (account, outcome);
    };
    account.tree = Arc::new(account.tree.again());
    let outcome = attempt(executor, &account.tree, spare, blame);
    let outcome = told(&account.tree, outcome);
    (account, outcome)
}

/// What the call has come to, now that what must be known of it in any case is written down, too.
fn told<E: Executor>(tree: &Tree<E>, outcome: Outcome) -> Outcome {
    match tree.tell() {
        Ok(()) => outcome.map(|(answer, mark)| (answer, mark.max(tree.mark()))),
        Err(failure) => outcome.and(Err(failure)),
    }
}

fn attempt<E: Executor>(executor: &E, tree: &Arc<Tree<E>>, entry: E::Entry, blame: Blame<'_, E>) -> Outcome {
    let outcome = caught(|| executor.run(tree, entry)).unwrap_or_else(|| {
        blame(tree);
        Err(internal())
    });
    tree.settle();
    // The executor has ended the unit already, unless it was lost on the way.
    let mark = tree.end_unit(outcome.is_ok());
    let answer = outcome?;
    Ok((answer, mark?))
}

/// What the report of a call is made of.
struct Account<E: Executor> {
    journal: Arc<Journal>,
    tree: Arc<Tree<E>>,
    started_ms: u64,
    module: ModuleName,
    function: FunctionPath,
}

impl<E: Executor> Account<E> {
    fn close(self, outcome: Outcome) -> (Ended, Mark) {
        let tree = &self.tree;
        let frames = tree.frames(outcome.is_err());
        let began_us = tree.deadline_us.saturating_sub(tree.deadline_ms.saturating_mul(1_000));
        let report = Arc::new(CallReport {
            id: tree.id,
            started_ms: self.started_ms,
            principal: tree.principal.clone(),
            module: self.module,
            function: self.function,
            fuel: frames.first().map_or(0, |root| root.fuel).saturating_add(tree.spent),
            duration_us: tree.pulse.exact_us().saturating_sub(began_us),
            calls: tree.calls(),
            failure: outcome.as_ref().err().cloned(),
            unit: tree.unit_report(),
            frames,
        });
        tell_of_long(&report);
        self.journal.record(Arc::clone(&report));
        let (result, mark) = outcome.unwrap_or((None, tree.mark()));
        (Ended { result, report }, mark)
    }
}

/// Takes one from a counter when dropped.
struct Counted<'a>(&'a std::sync::atomic::AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` so that a panic in a host function is the failure of this call and of nothing else.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    caught(work).unwrap_or_else(|| Err(internal()))
}

/// What `work` makes; nothing when it panics.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Units that keep others from writing, or the log of the database from shrinking, are not hidden.
fn tell_of_long(report: &CallReport) {
    let Some(unit) = report.unit.as_ref().filter(|unit| unit.open_us > LONG_UNIT_US) else { return };
    let (module, function, call) = (&report.module, &report.function, report.id);
    tracing::warn!(%module, %function, %call, open_us = unit.open_us, locked_us = unit.locked_us, "a long unit of work");
}

/// The failure of a call whose effects may or may not be on the disk.
pub(crate) fn not_durable() -> Failure {
    Failure::new(Code::StationInternal, "the disk did not take what was committed; the station's log has the details")
}

pub(crate) fn internal() -> Failure {
    Failure::new(Code::StationInternal, "the station made a mistake while it ran this call; its log has the details")
}

fn ready<E: Executor>(node: &Node<E>) -> Result<(), Failure> {
    let why = match &node.health {
        Health::Ready => return Ok(()),
        Health::Broken(failure) => failure.message.clone(),
        Health::Waiting(waiting) => {
            waiting.iter().map(|w| format!("{}: {}", w.interface, w.detail)).collect::<Vec<_>>().join("; ")
        }
    };
    Err(Failure::new(Code::CallNotReady, format!("module {} is waiting for {why}", node.name)))
}

pub(crate) fn no_such_module(module: &ModuleName) -> Failure {
    Failure::new(Code::CallNoSuchModule, format!("there is no module {module}; `station ls` lists them"))
}

fn named(target: &Target) -> FunctionPath {
    match target {
        Target::Function(path) => path.clone(),
        Target::Handler(name) => {
            name.parse().unwrap_or_else(|_| FunctionPath { interface: None, function: (*name).to_owned() })
        }
    }
}
