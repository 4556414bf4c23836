//! The port behind which modules run.

use crate::body::{RequestBody, ResponseBody};
use http::{Request, Response};
use station_kernel::ports::BoxFuture;
use station_kernel::state::Route;
use station_model::{CallId, Failure, ModuleName};
use std::sync::Arc;

/// Runs modules for the gateway.
pub trait Backend: Send + Sync + 'static {
    /// Has a module serve a request.
    ///
    /// Dropping the future cancels the call, which is what happens when the client goes away. After the answer,
    /// the same is said by dropping its body; put what cancels into a [`Held`](crate::Held).
    fn serve(&self, module: ModuleName, request: Request<RequestBody>) -> BoxFuture<'_, Result<Answer, Refused>>;

    /// Which addresses belong to which module. The same `Arc` for as long as nothing changes: the gateway builds
    /// its table once for each.
    fn routes(&self) -> Arc<Vec<(Route, ModuleName)>>;
}

/// A module's answer, as soon as its head is known.
#[derive(Debug)]
pub struct Answer {
    /// The root call.
    pub call: CallId,
    /// The answer. Its body fails when the call fails before its end.
    pub response: Response<ResponseBody>,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The root call, if there was one.
    pub call: Option<CallId>,
    /// What happened. The client learns the code only.
    pub failure: Failure,
}
