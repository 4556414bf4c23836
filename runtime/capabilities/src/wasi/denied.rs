//! `wasi:filesystem` and `wasi:sockets`: linked, with nothing behind them.
//!
//! There is no preopened directory, so a guest never holds a descriptor; a socket and a name look-up are refused
//! with `access-denied`. Every other function would need a handle that cannot exist; it ends the call. None of
//! wasmtime-wasi's code for files and sockets is reachable, which is the point: what is not linked has no holes.

use crate::host::{WASI, fail};
use station_engine::Ctx;
use station_model::Code;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, Val};

struct Descriptor;
struct DirectoryEntryStream;
struct Network;
struct ResolveAddressStream;
struct TcpSocket;
struct UdpSocket;
struct IncomingDatagramStream;
struct OutgoingDatagramStream;

/// Functions on files, which need a descriptor.
pub(super) const FILE: [&str; 27] = [
    "[method]descriptor.read-via-stream",
    "[method]descriptor.write-via-stream",
    "[method]descriptor.append-via-stream",
    "[method]descriptor.advise",
    "[method]descriptor.sync-data",
    "[method]descriptor.get-flags",
    "[method]descriptor.get-type",
    "[method]descriptor.set-size",
    "[method]descriptor.set-times",
    "[method]descriptor.read",
    "[method]descriptor.write",
    "[method]descriptor.read-directory",
    "[method]descriptor.sync",
    "[method]descriptor.create-directory-at",
    "[method]descriptor.stat",
    "[method]descriptor.stat-at",
    "[method]descriptor.set-times-at",
    "[method]descriptor.link-at",
    "[method]descriptor.open-at",
    "[method]descriptor.readlink-at",
    "[method]descriptor.remove-directory-at",
    "[method]descriptor.rename-at",
    "[method]descriptor.symlink-at",
    "[method]descriptor.unlink-file-at",
    "[method]descriptor.is-same-object",
    "[method]descriptor.metadata-hash",
    "[method]descriptor.metadata-hash-at",
];
const DIRECTORY: [&str; 1] = ["[method]directory-entry-stream.read-directory-entry"];
const RESOLVE: [&str; 2] =
    ["[method]resolve-address-stream.resolve-next-address", "[method]resolve-address-stream.subscribe"];

/// Functions on TCP sockets.
pub(super) const TCP: [&str; 28] = [
    "[method]tcp-socket.start-bind",
    "[method]tcp-socket.finish-bind",
    "[method]tcp-socket.start-connect",
    "[method]tcp-socket.finish-connect",
    "[method]tcp-socket.start-listen",
    "[method]tcp-socket.finish-listen",
    "[method]tcp-socket.accept",
    "[method]tcp-socket.local-address",
    "[method]tcp-socket.remote-address",
    "[method]tcp-socket.is-listening",
    "[method]tcp-socket.address-family",
    "[method]tcp-socket.set-listen-backlog-size",
    "[method]tcp-socket.keep-alive-enabled",
    "[method]tcp-socket.set-keep-alive-enabled",
    "[method]tcp-socket.keep-alive-idle-time",
    "[method]tcp-socket.set-keep-alive-idle-time",
    "[method]tcp-socket.keep-alive-interval",
    "[method]tcp-socket.set-keep-alive-interval",
    "[method]tcp-socket.keep-alive-count",
    "[method]tcp-socket.set-keep-alive-count",
    "[method]tcp-socket.hop-limit",
    "[method]tcp-socket.set-hop-limit",
    "[method]tcp-socket.receive-buffer-size",
    "[method]tcp-socket.set-receive-buffer-size",
    "[method]tcp-socket.send-buffer-size",
    "[method]tcp-socket.set-send-buffer-size",
    "[method]tcp-socket.subscribe",
    "[method]tcp-socket.shutdown",
];

/// Functions on UDP sockets and their streams.
pub(super) const UDP: [&str; 18] = [
    "[method]udp-socket.start-bind",
    "[method]udp-socket.finish-bind",
    "[method]udp-socket.stream",
    "[method]udp-socket.local-address",
    "[method]udp-socket.remote-address",
    "[method]udp-socket.address-family",
    "[method]udp-socket.unicast-hop-limit",
    "[method]udp-socket.set-unicast-hop-limit",
    "[method]udp-socket.receive-buffer-size",
    "[method]udp-socket.set-receive-buffer-size",
    "[method]udp-socket.send-buffer-size",
    "[method]udp-socket.set-send-buffer-size",
    "[method]udp-socket.subscribe",
    "[method]incoming-datagram-stream.receive",
    "[method]incoming-datagram-stream.subscribe",
    "[method]outgoing-datagram-stream.check-send",
    "[method]outgoing-datagram-stream.send",
    "[method]outgoing-datagram-stream.subscribe",
];

/// Links both packages.
pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    link_filesystem(linker)?;
    link_network(linker)?;
    link_tcp(linker)?;
    link_udp(linker)
}

fn link_filesystem(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI}"))?;
    resource::<Descriptor>(&mut types, "descriptor")?;
    resource::<DirectoryEntryStream>(&mut types, "directory-entry-stream")?;
    unreachable_functions(&mut types, &FILE, "files")?;
    unreachable_functions(&mut types, &DIRECTORY, "files")?;
    answer(&mut types, "filesystem-error-code", || Val::Option(None))?;
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{WASI}"))?;
    answer(&mut preopens, "get-directories", || Val::List(Vec::new()))
}

fn link_network(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let mut network = linker.instance(&format!("wasi:sockets/network@{WASI}"))?;
    resource::<Network>(&mut network, "network")?;
    answer(&mut network, "network-error-code", || Val::Option(None))?;
    let mut instance = linker.instance(&format!("wasi:sockets/instance-network@{WASI}"))?;
    instance.func_wrap("instance-network", |mut store, (): ()| {
        store.data_mut().charge(100);
        Ok((Resource::<Network>::new_own(0),))
    })?;
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI}"))?;
    resource::<ResolveAddressStream>(&mut lookup, "resolve-address-stream")?;
    unreachable_functions(&mut lookup, &RESOLVE, "sockets")?;
    answer(&mut lookup, "resolve-addresses", access_denied)
}

fn link_tcp(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let mut tcp = linker.instance(&format!("wasi:sockets/tcp@{WASI}"))?;
    resource::<TcpSocket>(&mut tcp, "tcp-socket")?;
    unreachable_functions(&mut tcp, &TCP, "sockets")?;
    let mut create = linker.instance(&format!("wasi:sockets/tcp-create-socket@{WASI}"))?;
    answer(&mut create, "create-tcp-socket", access_denied)
}

fn link_udp(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let mut udp = linker.instance(&format!("wasi:sockets/udp@{WASI}"))?;
    resource::<UdpSocket>(&mut udp, "udp-socket")?;
    resource::<IncomingDatagramStream>(&mut udp, "incoming-datagram-stream")?;
    resource::<OutgoingDatagramStream>(&mut udp, "outgoing-datagram-stream")?;
    unreachable_functions(&mut udp, &UDP, "sockets")?;
    let mut create = linker.instance(&format!("wasi:sockets/udp-create-socket@{WASI}"))?;
    answer(&mut create, "create-udp-socket", access_denied)
}

fn access_denied() -> Val {
    Val::Result(Err(Some(Box::new(Val::Enum("access-denied".to_owned())))))
}

fn resource<T: 'static>(instance: &mut LinkerInstance<'_, Ctx>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

/// Functions that need a handle which no guest has.
fn unreachable_functions(
    instance: &mut LinkerInstance<'_, Ctx>,
    names: &[&'static str],
    what: &'static str,
) -> wasmtime::Result<()> {
    for name in names {
        instance.func_new(name, move |_, _, _, _| Err(fail(Code::CallDenied, format!("modules have no {what}"))))?;
    }
    Ok(())
}

/// A function that always answers the same.
fn answer(instance: &mut LinkerInstance<'_, Ctx>, name: &str, value: fn() -> Val) -> wasmtime::Result<()> {
    instance.func_new(name, move |mut store, _, _, results| {
        store.data_mut().charge(500);
        if let Some(result) = results.first_mut() {
            *result = value();
        }
        Ok(())
    })
}
