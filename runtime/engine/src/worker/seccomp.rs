//! The system calls of a compile child: what reading, compiling and answering need, and nothing else.
//!
//! The child parses what somebody uploaded. Should a mistake of the parser or the compiler hand it over, there is
//! nothing to take: no file can be opened, no socket made, no program started, no process or thread made, looked into or
//! signalled. What is left is memory, the upload on stdin and the pipes to the station.
//!
//! What is not on the list fails with `EPERM`: an optional call of the C library has its way around, and a necessary one
//! fails where it is made, with a message. A kill would look like a component that is too large. The filter is for all
//! threads, is never taken off, and goes to whatever the child would start.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// Allowed with any arguments. Read, write and close work on what is open already, which is stdin, stdout and stderr.
const ALLOWED: &[libc::c_long] = &[
    // The upload, the answer, the last words.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    // Memory, that of the compiled code too: it is made executable to be looked at, though never run.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // The two threads that there are, and their end.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Handlers of the engine and of Rust's runtime, and how a process ends that aborts.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // Seeds of hash maps; clocks where the kernel has no page for them.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
];

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
#[error("filtering system calls")]
pub(super) struct Error(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Confines every thread of this process. Needs `no_new_privs`.
///
/// # Errors
/// On a processor or a kernel that has no such filters.
pub(super) fn confine() -> Result<(), Error> {
    seccompiler::apply_filter_all_threads(&program()?).map_err(|error| Error(error.into()))
}

fn program() -> Result<BpfProgram, Error> {
    let filter = || {
        let arch = std::env::consts::ARCH.try_into()?;
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        SeccompFilter::new(rules()?, refused, SeccompAction::Allow, arch)?.try_into()
    };
    filter().map_err(|error: seccompiler::BackendError| Error(error.into()))
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    // A call without rules is allowed with any arguments.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    // `abort` sends its signal to this process; to any other it would be an attack.
    let own = u64::from(std::process::id());
    let to_itself = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![to_itself])?]);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Result};

    /// Runs `attempt` on a thread of its own that has the filter, which would otherwise be on all other tests, too.
    fn confined<T: Send>(attempt: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let confined = || {
                seccompiler::apply_filter(&program().unwrap()).unwrap();
                attempt()
            };
            scope.spawn(confined).join().unwrap()
        })
    }

    #[track_caller]
    fn refused<T>(what: &str, attempt: impl FnOnce() -> Result<T> + Send) {
        let kind = confined(|| attempt().err().map(|error| error.kind()));
        assert_eq!(kind, Some(ErrorKind::PermissionDenied), "{what}");
    }

    #[test]
    fn what_a_child_does_not_need_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "secret").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        refused("reading a file", || std::fs::read(&file));
        refused("writing a file", || std::fs::write(folder.path().join("new"), ""));
        refused("removing a file", || std::fs::remove_file(&file));
        refused("listing a folder", || std::fs::read_dir(folder.path()).map(drop));
        refused("connecting", || std::net::TcpStream::connect(address));
        refused("listening", || std::net::TcpListener::bind("127.0.0.1:0"));
        refused("a socket of this machine", std::os::unix::net::UnixStream::pair);
        refused("starting a program", || std::process::Command::new("true").spawn());
        refused("a thread", || std::thread::Builder::new().spawn(|| ()).map(drop));
        refused("a signal to another process", || Ok(rustix::process::test_kill_process(parent())?));
        refused("the limits of a process", || rlimit::setrlimit(rlimit::Resource::CORE, 0, 0));
        assert!(file.exists(), "nothing of it was done");
    }

    fn parent() -> rustix::process::Pid {
        rustix::process::Pid::INIT
    }

    #[test]
    fn memory_and_what_is_open_already_can_be_used() {
        use std::io::{Read, Seek, Write};
        let mut open = tempfile::tempfile().unwrap();
        let read = confined(|| {
            let big = vec![7_u8; 32 << 20];
            open.write_all(&big[..3]).and_then(|()| open.rewind()).unwrap();
            let mut back = Vec::new();
            open.read_to_end(&mut back).map(|_| back)
        });
        assert_eq!(read.unwrap(), [7, 7, 7]);
    }
}
