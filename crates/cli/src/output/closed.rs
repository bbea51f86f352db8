//! Whether there is a standard output at all.
//!
//! Where a process is started without one, as by `>&-`, Rust's runtime puts `/dev/null` in its place before `main`, and what is printed would be
//! lost without an error. So it is looked at before the runtime starts.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Run by the loader before the runtime starts.
#[used]
#[cfg_attr(
    any(target_os = "linux", target_os = "freebsd"),
    unsafe(link_section = ".init_array")
)]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: the descriptor is only asked for, which is an error if it is not open.
    let out = unsafe { BorrowedFd::borrow_raw(1) };
    CLOSED.store(rustix::io::fcntl_getfd(out).is_err(), Ordering::Relaxed);
}

/// Whether the process was started without a standard output.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
