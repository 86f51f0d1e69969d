//! Stopping a campaign: the first request lets the current run end, the second gives it up. Both clean up.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch that a signal handler turns and the drivers watch. Clones share it.
#[derive(Debug, Clone)]
pub struct Interrupt {
    level: Arc<watch::Sender<u8>>,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self { level: Arc::new(watch::Sender::new(0)) }
    }
}

impl Interrupt {
    /// A switch that nobody has turned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns the switch one step on; returns whether the current run is now being given up.
    pub fn request(&self) -> bool {
        self.level.send_modify(|level| *level = (*level + 1).min(2));
        *self.level.borrow() == 2
    }

    /// Whether no further run is to be started.
    pub fn stops_after_run(&self) -> bool {
        *self.level.borrow() >= 1
    }

    /// Whether the current run is to be given up.
    pub fn stops_now(&self) -> bool {
        *self.level.borrow() == 2
    }

    /// Waits until somebody asks to stop; for ever if that never happens.
    pub async fn requested(&self) {
        let mut level = self.level.subscribe();
        if level.wait_for(|level| *level >= 1).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the current run is to be given up; for ever if that never happens.
    pub async fn stopped_now(&self) {
        let mut level = self.level.subscribe();
        if level.wait_for(|level| *level == 2).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_steps() {
        let switch = Interrupt::new();
        let watcher = switch.clone();
        assert!(!watcher.stops_after_run());
        assert!(!switch.request());
        assert!(watcher.stops_after_run() && !watcher.stops_now());
        watcher.requested().await;
        let waiting = tokio::spawn(async move { watcher.stopped_now().await });
        assert!(switch.request());
        assert!(switch.request());
        waiting.await.unwrap();
    }
}
