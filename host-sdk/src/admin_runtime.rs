//! A small async runtime of its own for the admin API, so that an operator reaches the switches also when every
//! worker of the public side is taken.

use station_admin::Settings;
use station_kernel::Control;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running admin API.
pub(crate) struct AdminRuntime {
    pub(crate) addr: SocketAddr,
    served: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl AdminRuntime {
    /// Binds `addr` and serves `control` on it until `drain`.
    pub(crate) async fn start(
        addr: SocketAddr,
        control: Arc<dyn Control>,
        settings: Settings,
        drain: CancellationToken,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("admin").enable_all().build()?;
        let bound = runtime.spawn(TcpListener::bind(addr)).await.map_err(std::io::Error::other)??;
        let addr = bound.local_addr()?;
        let served = runtime.spawn(station_admin::serve(bound, control, settings, drain));
        Ok(Self { addr, served, runtime: Some(runtime) })
    }

    /// Waits until the admin API has ended, which it does by itself once the drain is signalled.
    pub(crate) async fn ended(&mut self) {
        let _ended_or_panicked = (&mut self.served).await;
    }
}

impl Drop for AdminRuntime {
    fn drop(&mut self) {
        // A runtime may not be dropped inside another one; this lets it end on its own threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
