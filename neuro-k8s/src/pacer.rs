//! Sleeping until an instant of the monotonic clock, closer than an event loop's millisecond.

use crate::clock::monotonic_s;

/// Sleeps until absolute instants. On Linux a `timerfd` wakes the event loop at the instant itself; elsewhere its timer does,
/// which rounds up to a millisecond.
#[derive(Debug)]
pub(crate) struct Pacer {
    #[cfg(target_os = "linux")]
    timer: tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>,
}

impl Pacer {
    /// A pacer of the current event loop.
    ///
    /// # Errors
    /// The system has no descriptor left.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    pub(crate) fn new() -> std::io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` names one open descriptor for as long as it lives, and the registration owns it.
        let timer = unsafe { tokio::io::unix::AsyncFd::register(timer) }?;
        Ok(Self { timer })
    }

    /// A pacer of the current event loop.
    ///
    /// # Errors
    /// None here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Waits until the monotonic clock reads `until_s`; returns at once where it already does.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub(crate) async fn sleep_until(&mut self, until_s: f64) -> std::io::Result<()> {
        while monotonic_s() < until_s {
            self.sleep_once(until_s).await?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    async fn sleep_once(&mut self, until_s: f64) -> std::io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let value = Timespec { tv_sec: until_s as i64, tv_nsec: (until_s.fract() * 1e9) as _ };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let expired = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0u8; 8])?));
            match expired {
                Ok(result) => return result.map(drop),
                Err(_would_block) => continue,
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn sleep_once(&mut self, until_s: f64) -> std::io::Result<()> {
        let left = (until_s - monotonic_s()).max(0.0);
        tokio::time::sleep(std::time::Duration::from_secs_f64(left)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_at_or_after_the_instant_and_at_once_for_the_past() {
        let mut pacer = Pacer::new().unwrap();
        for wait_s in [0.003, 0.0, -1.0, 0.0101] {
            let until_s = monotonic_s() + wait_s;
            pacer.sleep_until(until_s).await.unwrap();
            assert!(monotonic_s() >= until_s);
        }
    }
}
