//! The gateway, plugged into the kernel: every request is a root call of the module that its route names.

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use station_capabilities::http_in::{self, AnswerBody, Answering};
use station_engine::Engine;
use station_gateway::{Answer, Backend, BodyError, Refused, RequestBody, Settings};
use station_kernel::ports::BoxFuture;
use station_kernel::state::{Route, State};
use station_kernel::{Ended, Kernel, RootCall, Target, Underway};
use station_model::{CallId, Code, Failure, ModuleName};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running gateway.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    served: JoinHandle<()>,
}

impl Gateway {
    /// Binds `addr` and serves modules on it until `drain`.
    pub(crate) async fn start(
        addr: SocketAddr,
        kernel: &Arc<Kernel<Engine>>,
        settings: Settings,
        drain: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let ingress = Arc::new(Ingress { kernel: Arc::clone(kernel), routes: Mutex::default() });
        let served = tokio::spawn(station_gateway::serve(listener, ingress, settings, drain));
        Ok(Self { addr, served })
    }

    /// Waits until the gateway has ended, which it does by itself once the drain is signalled.
    pub(crate) async fn ended(&mut self) {
        let _ended_or_panicked = (&mut self.served).await;
    }
}

/// The kernel as the gateway sees it.
struct Ingress {
    kernel: Arc<Kernel<Engine>>,
    routes: Mutex<Option<Known>>,
}

/// The routes of one state. The gateway builds its table once per list.
struct Known {
    state: Arc<State>,
    routes: Arc<Vec<(Route, ModuleName)>>,
}

impl Backend for Ingress {
    fn serve(&self, module: ModuleName, request: Request<RequestBody>) -> BoxFuture<'_, Result<Answer, Refused>> {
        Box::pin(self.call(module, request))
    }

    fn routes(&self) -> Arc<Vec<(Route, ModuleName)>> {
        let state = self.kernel.state_now();
        let mut known = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| Arc::ptr_eq(&known.state, &state)) {
            return Arc::clone(&known.routes);
        }
        let all = state.modules.iter().flat_map(|(name, m)| m.routes.iter().map(|r| (r.clone(), name.clone())));
        let routes = Arc::new(all.collect());
        *known = Some(Known { state, routes: Arc::clone(&routes) });
        routes
    }
}

impl Ingress {
    async fn call(&self, module: ModuleName, request: Request<RequestBody>) -> Result<Answer, Refused> {
        let id = CallId::now();
        let (entry, mut answering) = http_in::entry(request);
        let call = RootCall {
            module,
            target: Target::Handler(http_in::HANDLER),
            principal: "gateway".to_owned(),
            id,
            fuel: None,
            deadline_ms: None,
            entry,
        };
        let mut call = self.kernel.begin(call).await.map_err(|failure| Refused { call: None, failure })?;
        let ended = tokio::select! {
            biased;
            ended = call.ended() => ended,
            early = answering.early() => return Ok(Answer { call: id, response: watched(early, call) }),
        };
        let refused = |failure| Refused { call: Some(id), failure };
        whole(&ended.map_err(refused)?, &answering)
            .map(|response| Answer { call: id, response: response.map(BodyExt::boxed_unsync) })
            .map_err(refused)
    }
}

/// The answer of a call that has ended, or why there is none.
fn whole(ended: &Ended, answering: &Answering) -> Result<Response<AnswerBody>, Failure> {
    let silent = || Failure::new(Code::CallTrap, "the module returned without setting a response");
    match &ended.report.failure {
        Some(failure) => Err(failure.clone()),
        None => answering.whole().ok_or_else(silent),
    }
}

fn watched(response: Response<AnswerBody>, call: Underway) -> Response<station_gateway::ResponseBody> {
    response.map(|body| Watched { body, call }.boxed_unsync())
}

/// An answer's body that cancels the call when the client stops taking it, and lets it be once all was taken.
struct Watched {
    body: AnswerBody,
    call: Underway,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.call.let_be();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
