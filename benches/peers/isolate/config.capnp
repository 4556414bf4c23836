# Two isolates of one workerd process; the first calls the second through a service binding.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "caller", worker = .caller), (name = "callee", worker = .callee) ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "caller") ]
);

const caller :Workerd.Worker = (
  modules = [ (name = "caller.js", esModule = embed "caller.js") ],
  compatibilityDate = "2026-06-01",
  bindings = [ (name = "callee", service = (name = "callee", entrypoint = "Echo")) ]
);

const callee :Workerd.Worker = (
  modules = [ (name = "callee.js", esModule = embed "callee.js") ],
  compatibilityDate = "2026-06-01"
);
