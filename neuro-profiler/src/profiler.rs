use neuro_data::Sla;

use crate::{Error, Result};

/// One tenant of a server, as a profiler sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Position of its application in [`Profiler::apps`].
    pub app: usize,
    /// Its instances; real, so that placements can be relaxed.
    pub instances: f64,
    /// Requests per second to each instance.
    pub rate: f64,
}

/// What a tenant's service time is predicted to be: the natural logarithms of seconds of mean, p75 and p95, in the order of
/// [`Sla::ALL`]. The p95 is never below the p75.
pub type LogTimes = [f64; 3];

/// Predicts service times of services that share a server.
pub trait Profiler {
    /// The applications that it knows, in the order of its figures.
    fn apps(&self) -> &[String];

    /// The service times of every tenant of a server, given all of them, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::AppIndex`] for an application that it does not know, [`Error::InvalidLoad`] for instances or a rate that are not
    /// finite or below 0.
    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>>;

    /// The position of an application.
    ///
    /// # Errors
    ///
    /// [`Error::UntrainedApp`], which lists the known ones.
    fn app(&self, id: &str) -> Result<usize> {
        self.apps()
            .iter()
            .position(|app| app == id)
            .ok_or_else(|| Error::UntrainedApp { id: id.to_owned(), known: self.apps().join(", ") })
    }

    /// Refuses a server that nothing can be predicted of.
    ///
    /// # Errors
    ///
    /// As [`Profiler::log_times`].
    fn check(&self, server: &[Load]) -> Result<()> {
        for load in server {
            if load.app >= self.apps().len() {
                return Err(Error::AppIndex { index: load.app, apps: self.apps().len() });
            }
            for (field, value) in [("instances", load.instances), ("rate", load.rate)] {
                if !(value.is_finite() && value >= 0.0) {
                    return Err(Error::InvalidLoad { app: self.apps()[load.app].clone(), field, value });
                }
            }
        }
        Ok(())
    }
}

/// Position of a statistic in [`LogTimes`].
pub fn sla_index(sla: Sla) -> usize {
    match sla {
        Sla::Mean => 0,
        Sla::P75 => 1,
        Sla::P95 => 2,
    }
}

/// Quantiles that do not cross: a p95 below the p75 becomes the p75.
pub(crate) fn uncrossed([mean, p75, p95]: LogTimes) -> LogTimes {
    [mean, p75, p95.max(p75)]
}

/// The other tenants of each application: (application, instances, mean rate over instances), in order of application.
pub(crate) fn context_of(server: &[Load], target: usize) -> Vec<Load> {
    let mut context: Vec<Load> = Vec::new();
    for (_, other) in server.iter().enumerate().filter(|(i, load)| *i != target && load.instances > 0.0) {
        match context.iter_mut().find(|entry| entry.app == other.app) {
            Some(entry) => {
                let total = entry.instances + other.instances;
                entry.rate = (entry.instances * entry.rate + other.instances * other.rate) / total;
                entry.instances = total;
            }
            None => context.push(*other),
        }
    }
    context.sort_by_key(|entry| entry.app);
    context
}

/// A profiler that is asked by the positions of other applications than its own.
pub(crate) struct ByName<'a> {
    model: &'a dyn Profiler,
    apps: &'a [String],
    place: Vec<Option<usize>>,
}

impl<'a> ByName<'a> {
    /// Of applications, some of which it may not know.
    pub(crate) fn new(model: &'a dyn Profiler, apps: &'a [String]) -> Self {
        Self { model, apps, place: apps.iter().map(|app| model.app(app).ok()).collect() }
    }
}

impl Profiler for ByName<'_> {
    fn apps(&self) -> &[String] {
        self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let own = |load: &Load| match self.place[load.app] {
            Some(app) => Ok(Load { app, ..*load }),
            None => Err(Error::UntrainedApp { id: self.apps[load.app].clone(), known: self.model.apps().join(", ") }),
        };
        self.model.log_times(&server.iter().map(own).collect::<Result<Vec<_>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_the_others_by_application() {
        let load = |app, instances, rate| Load { app, instances, rate };
        let server = [load(1, 2.0, 10.0), load(0, 1.0, 4.0), load(1, 6.0, 2.0), load(2, 0.0, 5.0)];
        assert_eq!(context_of(&server, 1), [load(1, 8.0, 4.0)]);
        assert_eq!(context_of(&server, 0), [load(0, 1.0, 4.0), load(1, 6.0, 2.0)]);
    }
}
