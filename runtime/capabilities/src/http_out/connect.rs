//! A connection to a permitted target: resolve, look at every address, connect, TLS.

use super::gate::{Opens, Target};
use super::options::Egress;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use station_kernel::ports::BoxFuture;
use station_model::ModuleName;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;
use wasmtime_wasi_http::Error;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// A connection, with TLS or without.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Finds the addresses of a name. A port, so that a test needs no network.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, with `port`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What every connection of the station shares: settings, TLS roots, the bound on their number.
pub(super) struct Connector {
    pub(super) egress: Egress,
    tls: Option<Arc<ClientConfig>>,
    places: Arc<Semaphore>,
    /// The same for each module that has sent something, so that none takes all of them.
    of_modules: Mutex<HashMap<ModuleName, Arc<Semaphore>>>,
}

/// A place among the station's connections and among those of the module; given back when dropped.
pub(super) struct Place {
    _station: OwnedSemaphorePermit,
    _module: OwnedSemaphorePermit,
}

impl Connector {
    pub(super) fn new(egress: Egress) -> Self {
        let places = Arc::new(Semaphore::new(egress.connections_max));
        Self { egress, tls: tls_config(), places, of_modules: Mutex::default() }
    }

    /// A place for one connection of `module`.
    pub(super) fn place(&self, module: &ModuleName) -> Result<Place, Error> {
        let full = |_| Error::ConnectionLimitReached;
        let of_module = self.places_of(module);
        let module = of_module.try_acquire_owned().map_err(full)?;
        let station = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        Ok(Place { _station: station, _module: module })
    }

    fn places_of(&self, module: &ModuleName) -> Arc<Semaphore> {
        let mut of_modules = self.of_modules.lock().unwrap_or_else(PoisonError::into_inner);
        let places = of_modules.entry(module.clone());
        Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(self.egress.connections_per_module_max))))
    }

    /// Connects to `target`. Takes as long as it takes; the caller bounds it.
    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, Error> {
        let addresses = self.addresses(target).await?;
        let tcp = first(&addresses).await?;
        check_ends(target, &tcp)?;
        self.wrap(target, tcp).await
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let found = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => self.egress.resolver.resolve(&target.host, target.port).await.map_err(|_| no_name())?,
        };
        if found.is_empty() {
            return Err(no_name());
        }
        // The port is the one that was decided on, whatever the resolver says.
        let permitted = found.iter().filter(|found| target.may_reach(found.ip()));
        let permitted = permitted.map(|found| SocketAddr::new(found.ip(), target.port)).take(ADDRESSES_MAX);
        let permitted: Vec<_> = permitted.collect();
        if permitted.is_empty() {
            tracing::info!(
                host = target.host,
                "outgoing request denied: the name leads to an address that is not public"
            );
            return Err(Error::HttpRequestDenied);
        }
        Ok(permitted)
    }

    async fn wrap(&self, target: &Target, tcp: TcpStream) -> Result<Stream, Error> {
        if !target.tls {
            return Ok(MaybeHttpsStream::Http(TokioIo::new(tcp)));
        }
        let config = self.tls.clone().ok_or(Error::ConfigurationError)?;
        let uri = format!("https://{}", target.authority()).parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let mut tcp = Some(tcp);
        // The connector wants to connect itself; it gets the connection whose address was looked at.
        let ready = tower::service_fn(move |_: http::Uri| {
            let tcp = tcp.take().map(TokioIo::new).ok_or(io::ErrorKind::NotConnected);
            async move { tcp.map_err(io::Error::from) }
        });
        HttpsConnector::from((ready, config)).oneshot(uri).await.map_err(|_| Error::TlsProtocolError)
    }
}

fn tls_config() -> Option<Arc<ClientConfig>> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn no_name() -> Error {
    Error::DnsError { rcode: Some("the name has no address".to_owned()), info_code: None }
}

/// The first address that answers.
async fn first(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut failed = Error::DestinationUnavailable;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = connect_error(&error),
        }
    }
    Err(failed)
}

fn connect_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Error::DestinationIpUnroutable,
        _ => Error::DestinationUnavailable,
    }
}

/// A connection whose two ends have one address has reached this very machine by its public address, where the
/// station's own ports are. Only a grant that names the machine opens that.
fn check_ends(target: &Target, tcp: &TcpStream) -> Result<(), Error> {
    let ends = tcp.peer_addr().and_then(|peer| Ok((peer.ip(), tcp.local_addr()?.ip())));
    match ends {
        Ok((peer, local)) if peer == local && target.opens == Opens::Public => Err(Error::HttpRequestDenied),
        Ok(_) => Ok(()),
        Err(_) => Err(Error::ConnectionTerminated),
    }
}
