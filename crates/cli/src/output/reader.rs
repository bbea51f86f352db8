//! Whether anybody still reads standard output.

use std::io;
use std::os::fd::AsFd;

use tokio::sync::oneshot;

/// Ends when nobody reads standard output any more, if it is a pipe. Without this, `wiber consume chat | head -1` would wait for a second record.
pub async fn reader_gone() -> Result<(), oneshot::error::RecvError> {
    let (gone, is_gone) = oneshot::channel();
    std::thread::spawn(move || {
        use rustix::event::{PollFd, PollFlags, poll};
        let out = io::stdout();
        loop {
            // No event is asked for: errors are told unasked.
            let mut watched = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::empty())];
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) if watched[0].revents().contains(PollFlags::ERR) => {
                    let _ = gone.send(());
                    return;
                }
                _ => return,
            }
        }
    });
    is_gone.await
}
