//! Ctrl-C.

use neuro_k8s::Interrupt;

/// An interrupt that Ctrl-C (or a polite kill) turns: once to stop after the current run, twice to give it up.
///
/// # Errors
/// The process has such a handler already.
pub fn interrupt_on_ctrl_c() -> anyhow::Result<Interrupt> {
    let interrupt = Interrupt::new();
    let switch = interrupt.clone();
    ctrlc::set_handler(move || {
        let word =
            if switch.request() { "giving up the current run" } else { "stopping after this run; again to stop now" };
        #[expect(clippy::print_stderr, reason = "this is the command's voice")]
        {
            eprintln!("\n{word}");
        }
    })?;
    Ok(interrupt)
}
