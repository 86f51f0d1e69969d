//! Who is told how a campaign goes on.

use neuro_data::{Manifest, RunSpec};

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The runs to do are known.
    CampaignStarted {
        /// All runs of the campaign.
        total: usize,
        /// Of these, finished by an earlier call.
        finished: usize,
        /// Load and drain of the others, seconds; deployment comes on top.
        load_s: f64,
    },
    /// A run begins.
    RunStarted {
        /// Which one.
        spec: &'a RunSpec,
    },
    /// A run ended and is on disk.
    RunEnded {
        /// Its manifest.
        manifest: &'a Manifest,
    },
    /// What an earlier, killed driver left of a run was removed.
    Swept {
        /// The run.
        run_id: &'a str,
        /// How many processes were ended.
        processes: usize,
    },
    /// A run was given up on request; its folder is gone.
    GivenUp {
        /// Which one.
        spec: &'a RunSpec,
    },
}

/// Something that is told of events: a progress bar, a log, or nothing (`()`).
pub trait Observer {
    /// Takes an event.
    fn on_event(&mut self, event: &Event<'_>);
}

impl Observer for () {
    fn on_event(&mut self, _event: &Event<'_>) {}
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn on_event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
