//! The gateway, plugged into the kernel: every request is a root call of the module that its route names.

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use station_capabilities::http_in::{self, AnswerBody};
use station_engine::Engine;
use station_gateway::{Answer, Backend, BodyError, Refused, RequestBody, Settings};
use station_kernel::ports::BoxFuture;
use station_kernel::state::{Route, State};
use station_kernel::{Ended, Kernel, RootCall, Target};
use station_model::{CallId, Code, Failure, ModuleName};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
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
        let (respond, answered) = oneshot::channel();
        let id = CallId::now();
        let call = RootCall {
            module,
            target: Target::Handler(http_in::HANDLER),
            principal: "gateway".to_owned(),
            id,
            fuel: None,
            deadline_ms: None,
            entry: http_in::entry(request, respond),
        };
        let kernel = Arc::clone(&self.kernel);
        let task = tokio::spawn(async move { kernel.run(call).await });
        let guard = CancelOnDrop(Some(task.abort_handle()));
        match answered.await {
            Ok(Ok(response)) => Ok(Answer { call: id, response: watched(response, guard) }),
            Ok(Err(failure)) => Err(Refused { call: Some(id), failure }),
            Err(_no_answer) => Err(why(id, task.await)),
        }
    }
}

/// Why a call ended without an answer.
fn why(id: CallId, ended: Result<Result<Ended, Failure>, tokio::task::JoinError>) -> Refused {
    let silent = || Failure::new(Code::CallTrap, "the module returned without setting a response");
    match ended {
        Ok(Ok(ended)) => Refused { call: Some(id), failure: ended.report.failure.clone().unwrap_or_else(silent) },
        Ok(Err(failure)) => Refused { call: None, failure },
        Err(_) => Refused { call: Some(id), failure: Failure::new(Code::StationInternal, "the call was lost") },
    }
}

/// Ends the task that runs a call, and with it the call, when dropped.
struct CancelOnDrop(Option<AbortHandle>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn watched(response: Response<AnswerBody>, guard: CancelOnDrop) -> Response<station_gateway::ResponseBody> {
    response.map(|body| Watched { body, guard }.boxed_unsync())
}

/// An answer's body that cancels the call when the client stops taking it, and lets it be once all was taken.
struct Watched {
    body: AnswerBody,
    guard: CancelOnDrop,
}

impl Watched {
    fn taken(&mut self) {
        self.guard.0 = None;
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.taken();
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
