/// How a training goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Seed of the training.
    pub seed: u64,
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Mean training loss since the last report.
    pub train_loss: f64,
    /// Median absolute relative error on the validation runs over all three statistics; `None` without such runs.
    pub validation_error: Option<f64>,
}

/// Is told how a training goes on.
pub trait Observer {
    /// Called a few dozen times a training. Breaking ends it with what is best so far.
    fn on_progress(&mut self, progress: &Progress) -> std::ops::ControlFlow<()>;
}

impl Observer for () {
    fn on_progress(&mut self, _: &Progress) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Progress) -> std::ops::ControlFlow<()>> Observer for F {
    fn on_progress(&mut self, progress: &Progress) -> std::ops::ControlFlow<()> {
        self(progress)
    }
}
