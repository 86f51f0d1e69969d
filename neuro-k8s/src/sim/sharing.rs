//! How fast running inferences progress: the cores and the memory bandwidth that they share.
//!
//! Let n_a inferences of application a run, each able to use up to p_a cores. The C cores are shared by *processor sharing
//! with caps*: each gets c_a = min(p_a, φ), where φ is the level at which Σ n_a·c_a = C, or infinite where all caps together
//! stay below C.
//!
//! Each running inference presses on the memory with up to m_a GB/s, the traffic it asks for when nothing holds it up. Where it
//! gets only a part of the cores that it could use it keeps the share w of that, and the rest goes with its cores:
//! t_a = m_a·(w + (1 − w)·c_a/p_a). A server of w = 1 is one where caches are fought over, of w = 0 one where bandwidth is. With
//! P = Σ n_a·t_a and the server's bandwidth B, an inference of application a meets P − t_a of the others and is slowed down by
//!
//! 1 + s_a·((P − t_a)/B)²,
//!
//! s_a being its sensitivity: the further time that it takes, in units of its time alone, where the others ask for the whole
//! bandwidth. The square says that a bandwidth, or a cache, is felt as it runs out. So an inference of demand d takes
//! d·stretch_a seconds at such a load, with
//!
//! stretch_a = (p_a/c_a)·(1 + s_a·((P − t_a)/B)²) / speed.
//!
//! ## References
//! - L. Kleinrock, *Queueing Systems, Volume II: Computer Applications*, Wiley, 1976, section 4.4 (processor sharing).
//! - D. Bertsekas, R. Gallager, *Data Networks*, 2nd ed., Prentice Hall, 1992, section 6.5.2 (max-min fair shares by filling).

use super::parameters::{ServerKind, Service};

/// The constants of a run's applications, in order of parallelism, and how fast each progresses at the present load.
///
/// The arrays are one entry an application; a load is how many of its inferences run.
#[derive(Debug)]
pub(super) struct Sharing {
    cores: f64,
    inverse_speed: f64,
    /// w.
    waiting: f64,
    parallelism: Vec<f64>,
    inverse_parallelism: Vec<f64>,
    /// m_a, GB/s.
    pressure: Vec<f64>,
    /// s_a / B², s²/GB².
    sensitivity: Vec<f64>,
    /// t_a at the present load, GB/s.
    traffic: Vec<f64>,
    /// Cores of each running inference at the present load.
    pub(super) share: Vec<f64>,
    /// Seconds that a second of demand takes at the present load.
    pub(super) stretch: Vec<f64>,
    /// Its inverse.
    pub(super) rate: Vec<f64>,
}

impl Sharing {
    /// `services` are in order of their parallelism.
    pub(super) fn new(kind: &ServerKind, services: &[&Service]) -> Self {
        debug_assert!(services.is_sorted_by(|a, b| a.parallelism <= b.parallelism));
        let each = |value: fn(&Service) -> f64| services.iter().map(|service| value(service)).collect::<Vec<_>>();
        let inverse_speed = 1.0 / kind.speed;
        Self {
            cores: kind.cores,
            inverse_speed,
            waiting: kind.waiting_pressure,
            parallelism: each(|service| service.parallelism),
            inverse_parallelism: each(|service| 1.0 / service.parallelism),
            pressure: each(|service| service.pressure_gbs),
            sensitivity: services.iter().map(|service| service.sensitivity / kind.bandwidth_gbs.powi(2)).collect(),
            traffic: vec![0.0; services.len()],
            share: each(|service| service.parallelism),
            stretch: vec![inverse_speed; services.len()],
            rate: vec![kind.speed; services.len()],
        }
    }

    /// Sets what each inference gets when `running` of each application run.
    pub(super) fn set_load(&mut self, running: &[f64]) {
        let level = self.level(running);
        let inverse_level = 1.0 / level;
        let n = running.len();
        let (parallelism, inverse_parallelism) = (&self.parallelism[..n], &self.inverse_parallelism[..n]);
        let (pressure, sensitivity) = (&self.pressure[..n], &self.sensitivity[..n]);
        let traffic = &mut self.traffic[..n];
        let mut total = 0.0;
        for a in 0..n {
            let part = (level * inverse_parallelism[a]).min(1.0);
            traffic[a] = pressure[a] * (self.waiting + (1.0 - self.waiting) * part);
            total += running[a] * traffic[a];
        }
        let (share, stretch, rate) = (&mut self.share[..n], &mut self.stretch[..n], &mut self.rate[..n]);
        for a in 0..n {
            share[a] = parallelism[a].min(level);
            // Of an application of which none runs it would be negative.
            let others = (total - traffic[a]).max(0.0);
            let slowdown = 1.0 + sensitivity[a] * others * others;
            stretch[a] = (parallelism[a] * inverse_level).max(1.0) * slowdown * self.inverse_speed;
            rate[a] = 1.0 / stretch[a];
        }
    }

    /// The level φ to which cores are filled; infinite where there are enough for all.
    fn level(&self, running: &[f64]) -> f64 {
        let wanted: f64 = running.iter().zip(&self.parallelism).map(|(n, p)| n * p).sum();
        if wanted <= self.cores {
            return f64::INFINITY;
        }
        let (mut left, mut inferences) = (self.cores, running.iter().sum::<f64>());
        for (n, p) in running.iter().zip(&self.parallelism) {
            if p * inferences > left {
                break;
            }
            left -= n * p;
            inferences -= n;
        }
        // All have passed where rounding alone made the caps exceed the cores.
        if inferences > 0.0 { left / inferences } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::super::demand::Demand;
    use super::*;
    use proptest::prelude::*;

    fn service(parallelism: f64, pressure_gbs: f64, sensitivity: f64) -> Service {
        let demand = Demand::Constant { mean_s: 1.0 };
        Service { parallelism, pressure_gbs, sensitivity, ..Service::new("x", demand) }
    }

    fn kind(cores: f64) -> ServerKind {
        ServerKind { name: "k".into(), cores, speed: 1.0, bandwidth_gbs: 10.0, waiting_pressure: 1.0 }
    }

    #[test]
    fn cores_are_filled_from_the_smallest_cap_up() {
        let services = [service(1.0, 0.0, 0.0), service(4.0, 0.0, 0.0), service(8.0, 0.0, 0.0)];
        let mut sharing = Sharing::new(&kind(8.0), &services.iter().collect::<Vec<_>>());
        let mut shares = |running: &[f64]| {
            sharing.set_load(running);
            sharing.share.clone()
        };
        assert_eq!(shares(&[1.0, 1.0, 0.0]), [1.0, 4.0, 8.0]);
        // 2 + 2·φ = 8.
        assert_eq!(shares(&[2.0, 1.0, 1.0]), [1.0, 3.0, 3.0]);
        // 16 equal shares.
        assert_eq!(shares(&[10.0, 5.0, 1.0]), [0.5, 0.5, 0.5]);
        // 1 + 2·φ = 8 with one cap of 4 below nothing: φ = 3.5.
        assert_eq!(shares(&[1.0, 1.0, 1.0]), [1.0, 3.5, 3.5]);
    }

    #[test]
    fn the_pressure_of_the_others_slows_down_by_sensitivity() {
        // One core an inference, enough cores: 2 and 3 GB/s at full speed, of 10.
        let services = [service(1.0, 2.0, 0.5), service(1.0, 3.0, 2.0)];
        let mut sharing = Sharing::new(&kind(8.0), &services.iter().collect::<Vec<_>>());
        sharing.set_load(&[1.0, 0.0]);
        assert_eq!(sharing.stretch[0], 1.0, "its own pressure does not slow an inference down");
        sharing.set_load(&[2.0, 1.0]);
        assert!((sharing.stretch[0] - (1.0 + 0.5 * 0.25)).abs() < 1e-12);
        assert!((sharing.stretch[1] - (1.0 + 2.0 * 0.16)).abs() < 1e-12);
        // 16 inferences on 8 cores: 30 GB/s of the others, and twice the time besides.
        sharing.set_load(&[16.0, 0.0]);
        assert!((sharing.stretch[0] - 2.0 * (1.0 + 0.5 * 9.0)).abs() < 1e-12);
        // Where pressure goes with the cores, half of that, and a quarter kept makes it five eighths.
        for (waiting_pressure, part) in [(0.0, 0.5), (0.25, 0.625)] {
            let kind = ServerKind { waiting_pressure, ..kind(8.0) };
            let mut sharing = Sharing::new(&kind, &services.iter().collect::<Vec<_>>());
            sharing.set_load(&[16.0, 0.0]);
            let others: f64 = 15.0 * 2.0 * part / 10.0;
            assert!((sharing.stretch[0] - 2.0 * (1.0 + 0.5 * others.powi(2))).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn cores_are_all_used_or_all_caps_are_reached(
            caps in prop::collection::vec(0.1f64..16.0, 1..6),
            running in prop::collection::vec(0u32..20, 6),
        ) {
            let mut caps = caps;
            caps.sort_by(f64::total_cmp);
            let services: Vec<Service> = caps.iter().map(|p| service(*p, 0.0, 0.0)).collect();
            let mut sharing = Sharing::new(&kind(16.0), &services.iter().collect::<Vec<_>>());
            let running: Vec<f64> = running[..caps.len()].iter().map(|n| f64::from(*n)).collect();
            sharing.set_load(&running);
            let used: f64 = running.iter().zip(&sharing.share).map(|(n, share)| n * share).sum();
            let wanted: f64 = running.iter().zip(&caps).map(|(n, cap)| n * cap).sum();
            prop_assert!((used - wanted.min(16.0)).abs() < 1e-9, "{used} of {wanted}");
            for (share, cap) in sharing.share.iter().zip(&caps) {
                prop_assert!(share <= cap);
            }
        }
    }
}
