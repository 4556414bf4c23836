//! A running station.

use crate::admin_runtime::AdminRuntime;
use crate::clock::Wall;
use crate::desired;
use crate::ingress;
use crate::settings::Settings;
use crate::token_file;
use station_engine::Engine;
use station_kernel::{Clock, Kernel, Logs, Ports};
use station_storage::Storage;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A running station. Dropping it without [`drain`](Self::drain) ends it at once.
pub struct Station {
    kernel: Arc<Kernel<Engine>>,
    admin: AdminRuntime,
    gateway: ingress::Gateway,
    token_file: PathBuf,
    drain: CancellationToken,
    patience: Duration,
}

/// Why a station did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder or its database.
    #[error("opening the data folder {path}")]
    Storage {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: station_storage::Error,
    },
    /// The engine.
    #[error("starting the engine")]
    Engine(#[from] station_engine::Error),
    /// The kernel.
    #[error("starting the kernel")]
    Kernel(#[from] station_kernel::StartError),
    /// The first token.
    #[error("making {path}")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A module of the configuration.
    #[error("applying the configuration")]
    Desired(#[from] desired::Error),
    /// An address.
    #[error("listening on {addr} for the {what}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Admin API or gateway.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Station {
    /// Starts a station: opens its data, loads its modules, applies the configuration, listens.
    ///
    /// # Errors
    /// When any of that fails; then nothing is left running.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        // Somebody may have chosen a provider before us; then theirs serves as well.
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let storage = Storage::open_with(&settings.data, storage_settings(&settings))
            .map_err(|source| Error::Storage { path: settings.data.clone(), source })?;
        let kernel = start_kernel(&settings, &storage).await?;
        let token_file = settings.data.join("admin.token");
        let no_token = |source| Error::Token { path: token_file.clone(), source: Box::new(source) };
        token_file::ensure(&kernel, &token_file).await.map_err(no_token)?;
        desired::apply(&kernel, &settings.modules).await?;
        let drain = CancellationToken::new();
        let listen = |addr, what| move |source| Error::Listen { addr, what, source };
        let gateway_settings =
            station_gateway::Settings { drain_max: Duration::from_millis(settings.drain_ms_max), ..Default::default() };
        let gateway = ingress::Gateway::start(settings.gateway, &kernel, gateway_settings, drain.clone())
            .await
            .map_err(listen(settings.gateway, "gateway"))?;
        let admin_settings =
            station_admin::Settings { upload_bytes_max: settings.upload_bytes_max, ..Default::default() };
        let control = token_file::control(&kernel);
        let admin = AdminRuntime::start(settings.admin, control, admin_settings, drain.clone())
            .await
            .map_err(listen(settings.admin, "admin API"))?;
        let patience = Duration::from_millis(settings.drain_ms_max);
        Ok(Self { kernel, admin, gateway, token_file, drain, patience })
    }

    /// Where the admin API listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr
    }

    /// Where modules are served.
    pub fn gateway_addr(&self) -> SocketAddr {
        self.gateway.addr
    }

    /// The file with the first token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// The kernel, for embedders that call modules themselves.
    pub fn kernel(&self) -> &Arc<Kernel<Engine>> {
        &self.kernel
    }

    /// Stops accepting, lets running calls end within the drain time, ends the rest.
    pub async fn drain(mut self) {
        // Listeners first see the drain, so that `/readyz` says no while the last calls run.
        let calls = self.kernel.drain(self.patience);
        self.drain.cancel();
        calls.await;
        tokio::join!(self.gateway.ended(), self.admin.ended());
    }
}

fn storage_settings(settings: &Settings) -> station_storage::Settings {
    station_storage::Settings {
        data_bytes_max: settings.sql_bytes_max,
        data_rows_max: settings.sql_rows_max,
        // A unit belongs to a call, and there are as many of those as threads.
        units_max: settings.call_threads_max,
        checkpoints: settings.checkpoints,
        ..Default::default()
    }
}

async fn start_kernel(settings: &Settings, storage: &Storage) -> Result<Arc<Kernel<Engine>>, Error> {
    let logs = Arc::new(Logs::default());
    let clock: Arc<dyn Clock> = Arc::new(Wall);
    let capabilities = station_capabilities::all(station_capabilities::Ports {
        keyvalue: station_capabilities::KeyValueSettings::default(),
        sql: station_capabilities::SqlSettings::default(),
        events: station_capabilities::EventSettings::default(),
        egress: station_capabilities::Egress::default(),
        logs: Arc::clone(&logs),
        clock: Arc::clone(&clock),
    });
    let engine = station_engine::Settings {
        instances_max: settings.engine.instances_max,
        memory_bytes_max: settings.engine.memory_total_bytes,
        hostcall_bytes_max: station_engine::HOSTCALL_BYTES,
        lane: settings.engine.lane,
        compile: settings.engine.compile(),
        worker: settings.worker.clone(),
        cache: settings.cache.clone(),
        cache_key: settings.data.join("cache.key"),
    };
    let executor = Arc::new(Engine::new(engine, capabilities)?);
    let kernel = station_kernel::Settings {
        limits: settings.limits.clone(),
        threads_max: settings.call_threads_max,
        queue_max: settings.queue_max,
        write_ms_max: settings.write_ms_max,
        ..Default::default()
    };
    let (registry, units) = (Arc::new(storage.clone()), Arc::new(storage.clone()));
    let ports = Ports { executor, registry, units, clock, logs };
    Ok(Kernel::start(kernel, ports).await?)
}
