//! Asks before something goes for good.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Passes if whoever is at the terminal says yes to `question`.
///
/// # Errors
/// Wrong usage with what is lost, `loses`, where nobody is there to ask: then `--yes` must be said. A failure if the answer is no.
pub fn confirm(question: &str, loses: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{loses}: say --yes")));
    }
    let mut terminal = io::stderr();
    let _ = write!(terminal, "{question} [y/N] ");
    let _ = terminal.flush();
    let mut answer = String::new();
    let yes = io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if yes {
        Ok(())
    } else {
        Err(Failure::Failed("nothing was deleted".to_owned()))
    }
}
