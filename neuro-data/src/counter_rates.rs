//! Rates of a tenant's counters: mean and standard deviation of counts per replica and second.

/// How far a reading may lie outside of the window, seconds: it is taken when the window opens or ends, or a little later.
const READING_SLACK_S: f64 = 0.1;

/// Mean and standard deviation, over the readings of all replicas whose interval lies in a window, of each event's count per
/// second of interval. Readings of a replica and event come in order of time.
#[derive(Debug)]
pub(crate) struct CounterRates {
    window_s: (f64, f64),
    /// The end of the last interval of each replica and event.
    last: Vec<(u32, String, f64)>,
    rates: Vec<(String, Moments)>,
}

/// Count, mean and sum of squared deviations, kept by Welford's recurrence: B. P. Welford, "Note on a method for calculating
/// corrected sums of squares and products", *Technometrics* 4(3), 1962, doi:10.1080/00401706.1962.10490022.
#[derive(Debug, Default, Clone, Copy)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl CounterRates {
    /// Of readings between two instants, seconds.
    pub(crate) fn new(window_start_s: f64, window_end_s: f64) -> Self {
        Self { window_s: (window_start_s, window_end_s), last: Vec::new(), rates: Vec::new() }
    }

    /// Takes note of a reading: `count` events since the one before.
    pub(crate) fn push(&mut self, replica: u32, event: &str, time_s: f64, count: Option<f64>) {
        let known = self.last.iter_mut().rev().find(|(r, e, _)| *r == replica && e == event);
        let since = match known {
            Some((.., last)) => std::mem::replace(last, time_s),
            None => {
                self.last.push((replica, event.to_owned(), time_s));
                0.0
            }
        };
        let inside = since >= self.window_s.0 - READING_SLACK_S && time_s <= self.window_s.1 + READING_SLACK_S;
        if let Some(count) = count.filter(|_| inside && time_s > since) {
            self.moments(event).push(count / (time_s - since));
        }
    }

    fn moments(&mut self, event: &str) -> &mut Moments {
        let at = self.rates.iter().position(|(known, _)| known == event).unwrap_or(self.rates.len());
        if at == self.rates.len() {
            self.rates.push((event.to_owned(), Moments::default()));
        }
        &mut self.rates[at].1
    }

    /// Mean and standard deviation of an event, as far as they are known.
    pub(crate) fn of(&self, event: &str) -> (Option<f64>, Option<f64>) {
        let moments =
            self.rates.iter().find(|(known, _)| known == event).map(|(_, moments)| *moments).unwrap_or_default();
        let deviation = || (moments.squares / (moments.count - 1) as f64).sqrt();
        ((moments.count > 0).then_some(moments.mean), (moments.count > 1).then(deviation))
    }
}

impl Moments {
    fn push(&mut self, x: f64) {
        self.count += 1;
        let delta = x - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (x - self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_of_the_intervals_inside_the_window() {
        let mut rates = CounterRates::new(1.0, 7.0);
        // Warm-up, then 10 in 2 s and 28 in 4 s, then a reading that ends outside.
        for (time_s, count) in [(1.0, Some(1e9)), (3.0, Some(10.0)), (7.0, Some(28.0)), (9.0, Some(1e9))] {
            rates.push(0, "page-faults", time_s, count);
            rates.push(0, "cache-misses", time_s, None);
        }
        // Another replica: 6 in 6 s.
        rates.push(1, "page-faults", 1.0, Some(0.0));
        rates.push(1, "page-faults", 7.0, Some(6.0));
        // 5, 7 and 1 per second.
        let (mean, deviation) = rates.of("page-faults");
        assert!((mean.unwrap() - 13.0 / 3.0).abs() < 1e-12);
        assert!((deviation.unwrap().powi(2) - 28.0 / 3.0).abs() < 1e-12);
        assert_eq!((rates.of("cache-misses"), rates.of("cpu-clock")), ((None, None), (None, None)));
    }
}
