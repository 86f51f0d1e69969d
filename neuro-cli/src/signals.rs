//! Ctrl-C.

use std::sync::Mutex;

use neuro_k8s::Interrupt;

/// The switch of this process, once there is one.
static SWITCH: Mutex<Option<Interrupt>> = Mutex::new(None);

/// An interrupt that Ctrl-C (or a polite kill) turns: once to stop after the current run, twice to give it up. The process has one;
/// every further call answers it again.
///
/// # Errors
/// Another part of the process handles Ctrl-C already.
pub fn interrupt_on_ctrl_c() -> anyhow::Result<Interrupt> {
    let mut known = SWITCH.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(interrupt) = &*known {
        return Ok(interrupt.clone());
    }
    let interrupt = Interrupt::new();
    let switch = interrupt.clone();
    ctrlc::set_handler(move || {
        let word =
            if switch.request() { "stopping now" } else { "stopping after what is under way; again to stop now" };
        #[expect(clippy::print_stderr, reason = "this is the command's voice")]
        {
            eprintln!("\n{word}");
        }
    })?;
    *known = Some(interrupt.clone());
    Ok(interrupt)
}
