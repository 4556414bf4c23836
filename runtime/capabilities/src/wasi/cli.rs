//! `wasi:cli`: an empty environment, no terminal, a closed stdin, and an exit that ends the call.

use crate::host::{Host, fail};
use crate::output::{Channel, Output};
use station_model::Code;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// Fuel of a function that only looks something up.
const LOOK_FUEL: u64 = 100;
/// Fuel of making a stream.
const OPEN_FUEL: u64 = 300;

impl environment::Host for Host<'_> {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        self.0.charge(LOOK_FUEL);
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        self.0.charge(LOOK_FUEL);
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        self.0.charge(LOOK_FUEL);
        Ok(None)
    }
}

impl exit::Host for Host<'_> {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        let with = if status.is_ok() { "success" } else { "failure" };
        Err(fail(Code::CallExit, format!("the module called exit ({with}); a module returns instead")))
    }

    fn exit_with_code(&mut self, status: u8) -> Result<()> {
        Err(fail(Code::CallExit, format!("the module called exit (code {status}); a module returns instead")))
    }
}

impl stdin::Host for Host<'_> {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        self.0.charge(OPEN_FUEL);
        let closed: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.0.table.push(closed)?)
    }
}

impl Host<'_> {
    fn output(&mut self, channel: Channel) -> Result<Resource<DynOutputStream>> {
        self.0.charge(OPEN_FUEL);
        let (output, table) = self.0.parts::<Output>()?;
        Ok(table.push(output.stream(channel))?)
    }
}

impl stdout::Host for Host<'_> {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.output(Channel::Out)
    }
}

impl stderr::Host for Host<'_> {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.output(Channel::Err)
    }
}

impl terminal_input::Host for Host<'_> {}

impl terminal_input::HostTerminalInput for Host<'_> {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> Result<()> {
        self.0.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::Host for Host<'_> {}

impl terminal_output::HostTerminalOutput for Host<'_> {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        self.0.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_stdin::Host for Host<'_> {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        self.0.charge(LOOK_FUEL);
        Ok(None)
    }
}

impl terminal_stdout::Host for Host<'_> {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.0.charge(LOOK_FUEL);
        Ok(None)
    }
}

impl terminal_stderr::Host for Host<'_> {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.0.charge(LOOK_FUEL);
        Ok(None)
    }
}
