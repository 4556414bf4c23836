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
    served: Option<JoinHandle<()>>,
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
        // Owned by this from now on, so that it ends properly also when the address is taken.
        let mut this = Self { addr, served: None, runtime: Some(runtime) };
        this.serve(control, settings, drain).await?;
        Ok(this)
    }

    async fn serve(
        &mut self,
        control: Arc<dyn Control>,
        settings: Settings,
        drain: CancellationToken,
    ) -> std::io::Result<()> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let listener = runtime.spawn(TcpListener::bind(self.addr)).await.map_err(std::io::Error::other)??;
        self.addr = listener.local_addr()?;
        self.served = Some(runtime.spawn(station_admin::serve(listener, control, settings, drain)));
        Ok(())
    }

    /// Waits until the admin API has ended, which it does by itself once the drain is signalled.
    pub(crate) async fn ended(&mut self) {
        if let Some(served) = &mut self.served {
            let _ended_or_panicked = served.await;
        }
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
