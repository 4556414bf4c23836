//! `wasi:io`: errors, polling and streams, with waits that end with the call.
//!
//! The work is wasmtime-wasi-io's, on the table of host resources. What is ours: each function costs fuel, the
//! number of pollables has a bound, and what blocks does so through the call's `Waiter`.

use crate::host::{Host, wait};
use crate::output::Output;
use station_model::{Code, Failure};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::error;
use wasmtime_wasi::p2::bindings::io::{poll as async_poll, streams as async_streams};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

/// Pollables of one call of `poll`. A guest has at most a thousand host resources, so this is never the first
/// bound that an honest one meets.
const POLLABLES_MAX: usize = 1_000;
/// Fuel of a poll, and of each pollable in it.
const POLL_FUEL: u64 = 200;
/// Fuel of a stream operation, apart from its bytes.
const STREAM_FUEL: u64 = 200;

impl error::Host for Host<'_> {}

impl error::HostError for Host<'_> {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> Result<String> {
        self.0.charge(STREAM_FUEL);
        // The plain message: the debug form of a host error may hold a backtrace of the host.
        Ok(self.0.table.get(&error)?.to_string())
    }

    fn drop(&mut self, error: Resource<IoError>) -> Result<()> {
        self.0.table.delete(error)?;
        Ok(())
    }
}

impl poll::Host for Host<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        let count = pollables.len();
        if count > POLLABLES_MAX {
            let failure = Failure::new(Code::CallResourceLimit, "too many pollables in one poll");
            return Err(failure.with_limit("pollables", POLLABLES_MAX as u64, count as u64).into());
        }
        self.0.charge(POLL_FUEL.saturating_mul(count as u64 + 1));
        let waiter = self.0.waiter();
        wait(&waiter, async_poll::Host::poll(&mut self.0.table, pollables))?
    }
}

impl poll::HostPollable for Host<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.0.charge(POLL_FUEL);
        let waiter = self.0.waiter();
        wait(&waiter, async_poll::HostPollable::ready(&mut self.0.table, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.0.charge(POLL_FUEL);
        let waiter = self.0.waiter();
        wait(&waiter, async_poll::HostPollable::block(&mut self.0.table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        async_poll::HostPollable::drop(&mut self.0.table, pollable)
    }
}

impl streams::Host for Host<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        Ok(async_streams::Host::convert_stream_error(&mut self.0.table, error)?.into())
    }
}

/// The failure of a wait, as a stream error that ends the call.
fn ended(failure: Failure) -> StreamError {
    StreamError::Trap(failure.into())
}

impl Host<'_> {
    fn charge_stream(&mut self, bytes: u64) {
        self.0.charge(STREAM_FUEL.saturating_add(bytes));
    }

    /// Tells stdout and stderr which call writes, so that their lines carry its id.
    fn charge_write(&mut self, bytes: u64) {
        self.charge_stream(bytes);
        let call = self.0.call_id();
        if let Ok(output) = self.0.state::<Output>() {
            output.written_by(call);
        }
    }
}

impl streams::HostInputStream for Host<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let bytes = async_streams::HostInputStream::read(&mut self.0.table, stream, len)?;
        self.charge_stream(bytes.len() as u64);
        Ok(bytes)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let waiter = self.0.waiter();
        let reading = async_streams::HostInputStream::blocking_read(&mut self.0.table, stream, len);
        let bytes = wait(&waiter, reading).map_err(ended)??;
        self.charge_stream(bytes.len() as u64);
        Ok(bytes)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let skipped = async_streams::HostInputStream::skip(&mut self.0.table, stream, len)?;
        self.charge_stream(skipped);
        Ok(skipped)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let waiter = self.0.waiter();
        let skipping = async_streams::HostInputStream::blocking_skip(&mut self.0.table, stream, len);
        let skipped = wait(&waiter, skipping).map_err(ended)??;
        self.charge_stream(skipped);
        Ok(skipped)
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        self.charge_stream(0);
        async_streams::HostInputStream::subscribe(&mut self.0.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        let waiter = self.0.waiter();
        wait(&waiter, async_streams::HostInputStream::drop(&mut self.0.table, stream))?
    }
}

impl streams::HostOutputStream for Host<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.charge_stream(0);
        async_streams::HostOutputStream::check_write(&mut self.0.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.charge_write(bytes.len() as u64);
        async_streams::HostOutputStream::write(&mut self.0.table, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.charge_write(bytes.len() as u64);
        let waiter = self.0.waiter();
        let writing = async_streams::HostOutputStream::blocking_write_and_flush(&mut self.0.table, stream, bytes);
        wait(&waiter, writing).map_err(ended)?
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.charge_write(len);
        let waiter = self.0.waiter();
        let table = &mut self.0.table;
        let writing = async_streams::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len);
        wait(&waiter, writing).map_err(ended)?
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        self.charge_stream(0);
        async_streams::HostOutputStream::subscribe(&mut self.0.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.charge_write(len);
        async_streams::HostOutputStream::write_zeroes(&mut self.0.table, stream, len)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.charge_stream(0);
        async_streams::HostOutputStream::flush(&mut self.0.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.charge_stream(0);
        let waiter = self.0.waiter();
        let flushing = async_streams::HostOutputStream::blocking_flush(&mut self.0.table, stream);
        wait(&waiter, flushing).map_err(ended)?
    }

    fn splice(&mut self, to: Resource<DynOutputStream>, from: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.charge_write(0);
        let moved = async_streams::HostOutputStream::splice(&mut self.0.table, to, from, len)?;
        self.0.charge(moved);
        Ok(moved)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.charge_write(0);
        let waiter = self.0.waiter();
        let splicing = async_streams::HostOutputStream::blocking_splice(&mut self.0.table, to, from, len);
        let moved = wait(&waiter, splicing).map_err(ended)??;
        self.0.charge(moved);
        Ok(moved)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        let waiter = self.0.waiter();
        wait(&waiter, async_streams::HostOutputStream::drop(&mut self.0.table, stream))?
    }
}
