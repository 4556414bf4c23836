//! The gateway, plugged into the kernel.

use station_engine::Engine;
use station_kernel::Kernel;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running gateway.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    served: JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn start(
        addr: SocketAddr,
        kernel: &Arc<Kernel<Engine>>,
        drain: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let _kernel = Arc::clone(kernel);
        let served = tokio::spawn(async move {
            let _listener = listener;
            drain.cancelled().await;
        });
        Ok(Self { addr, served })
    }

    /// Waits until the gateway has ended, which it does by itself once the drain is signalled.
    pub(crate) async fn ended(&mut self) {
        let _ended_or_panicked = (&mut self.served).await;
    }
}
