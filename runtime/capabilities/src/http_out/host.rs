//! The generated traits: the types are wasmtime-wasi-http's, sending is ours.

use super::connect::{Connector, Place};
use super::gate::{self, Refusal};
use super::options::Egress;
use super::send::{Times, send};
use crate::output::Output;
use http::HeaderName;
use station_engine::Ctx;
use station_kernel::ports::ModuleSettings;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

/// Fuel of one function on requests, responses and headers; the dearest copies 32 KiB.
const TYPE_FUEL: u64 = 1_000;
/// Fuel of sending a request: a connection, a task, a name look-up.
const SEND_FUEL: u64 = 100_000;
/// Bytes of all headers of one message.
pub(super) const FIELD_BYTES_MAX: usize = 32 * 1024;
/// What the guest writes of a body at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Such pieces that wait for the network before the guest does. Whoever writes in small pieces then wakes somebody for each
/// sixteenth only, and a call has at most 256 KiB on its way.
const CHUNKS: usize = 15;

/// The state of one instance.
pub(crate) struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

/// What wasmtime-wasi-http asks of us.
struct Hooks {
    connector: Arc<Connector>,
    settings: Option<Arc<ModuleSettings>>,
    /// What is left of the call's time; set before each request. None outside a call, where nothing may be sent.
    left: Option<Duration>,
    /// The module's log; set before each request.
    output: Option<Output>,
}

impl Http {
    pub(super) fn new(connector: Arc<Connector>, settings: Arc<ModuleSettings>) -> Self {
        Self::with(Hooks { connector, settings: Some(settings), left: None, output: None })
    }

    fn with(hooks: Hooks) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(FIELD_BYTES_MAX);
        Self { ctx, hooks }
    }

    /// One that reaches nothing.
    fn nowhere() -> Self {
        let connector = Arc::new(Connector::new(Egress::default()));
        Self::with(Hooks { connector, settings: None, left: None, output: None })
    }
}

/// The context as wasmtime-wasi-http sees it; charged for one function.
pub(crate) fn view(ctx: &mut Ctx) -> WasiHttpCtxView<'_> {
    ctx.charge(TYPE_FUEL);
    match ctx.parts::<Http>() {
        Ok((http, table)) => WasiHttpCtxView { ctx: &mut http.ctx, hooks: &mut http.hooks, table },
        Err(_) => {
            let (http, table) = unprepared();
            WasiHttpCtxView { ctx: &mut http.ctx, hooks: &mut http.hooks, table }
        }
    }
}

/// A getter cannot fail. An instance without its state is a mistake of the station that cannot happen; should it,
/// the guest gets an empty table and no authority, for the price of a leak, instead of a panic.
fn unprepared<'a>() -> (&'a mut Http, &'a mut ResourceTable) {
    tracing::error!("an instance was made without its HTTP state");
    (Box::leak(Box::new(Http::nowhere())), Box::leak(Box::new(ResourceTable::new())))
}

/// The same for sending a request: with the time that is left, and a place to say why it was refused.
pub(super) fn sending_view(ctx: &mut Ctx) -> WasiHttpCtxView<'_> {
    ctx.charge(SEND_FUEL);
    ctx.note_outside();
    let ((left, _depth), call) = (ctx.left(), ctx.call_id());
    let output = ctx.state::<Output>().ok().cloned();
    if let Some(output) = &output {
        output.written_by(call);
    }
    if let Ok(http) = ctx.state::<Http>() {
        (http.hooks.left, http.hooks.output) = (call.map(|_| left), output);
    }
    view(ctx)
}

/// What sending gives: the head of the answer with its body, and the connection that runs on.
type Sending = Box<
    dyn Future<Output = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>>
        + Send,
>;

impl Hooks {
    /// The target of a request, what is left of the call, and a place among the connections.
    fn check(&self, uri: &http::Uri) -> Result<(gate::Target, Duration, Place), Error> {
        let (Some(settings), Some(left)) = (&self.settings, self.left) else { return Err(Error::HttpRequestDenied) };
        if uri.to_string().len() > self.connector.egress.url_bytes_max {
            return Err(Error::HttpRequestUriTooLong);
        }
        let target = gate::decide(&settings.hosts, uri).map_err(|refusal| match refusal {
            Refusal::Invalid => Error::HttpRequestUriInvalid,
            Refusal::Denied(origin) => {
                self.log_denied(&origin);
                Error::HttpRequestDenied
            }
        })?;
        Ok((target, left, self.connector.place(&settings.module)?))
    }

    /// Tells the operator, in the module's log, what to grant.
    fn log_denied(&self, origin: &str) {
        if let (Some(output), Some(settings)) = (&self.output, &self.settings) {
            let module = &settings.module;
            output.line("warn", &format!("request denied; to allow it: station grant {module} {origin}"));
        }
    }
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let (target, left, place) = match self.check(request.uri()) {
            Ok(permitted) => permitted,
            Err(refused) => return Box::new(std::future::ready(Err(refused))),
        };
        let times = Times::new(&self.connector, options, left);
        Box::new(send(Arc::clone(&self.connector), place, target, request, times))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    /// wasmtime-wasi-http adds one.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }
}
