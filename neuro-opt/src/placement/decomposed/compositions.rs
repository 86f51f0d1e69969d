//! Fillings application by application.

use crate::Result;
use crate::placement::Problem;
use crate::placement::occupancy::Occupancy;

/// What a server may be filled with, by application, what is worth most first.
pub(super) struct Compositions<'p, 'a> {
    pub(super) problem: &'p Problem<'a>,
    pub(super) server: usize,
    /// Worth of each request.
    pub(super) profits: &'p [f64],
    pub(super) apps: Vec<Vec<usize>>,
}

/// By how many requests fewer than were wanted may keep their promises before more are not asked for.
const MISSED: usize = 3;

impl Compositions<'_, '_> {
    /// Of two applications every number of requests, then as many as can be of a third: the best with each third.
    ///
    /// Promises are asked for only where all of a number are there: where a profiler is not monotone some fillings hold of which no part
    /// does, which local search does not find.
    pub(super) fn of(&self, first: usize, second: usize) -> Result<Vec<(f64, Vec<usize>)>> {
        let mut best: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); self.apps.len()];
        for n in 1..=self.apps[first].len() {
            let mut fits_any = false;
            for m in 0..=self.apps[second].len() {
                let mut occupancy = Occupancy::empty(self.problem, self.server);
                if !self.put(&mut occupancy, first, n) || !self.put(&mut occupancy, second, m) {
                    break;
                }
                while let Some(place) = occupancy.violator(self.problem)? {
                    occupancy.remove(self.problem, place);
                }
                self.fill(&mut occupancy, first, n)?;
                self.fill(&mut occupancy, second, m)?;
                if occupancy.tenants.len() + MISSED < n + m {
                    break;
                }
                fits_any = true;
                for (third, best) in best.iter_mut().enumerate().filter(|(third, _)| *third != first) {
                    let mut occupancy = occupancy.clone();
                    self.fill(&mut occupancy, third, usize::MAX)?;
                    let profit = occupancy.tenants.iter().map(|r| self.profits[*r]).sum::<f64>();
                    if profit > best.0 {
                        *best = (profit, occupancy.tenants);
                    }
                }
            }
            if !fits_any {
                break;
            }
        }
        best.retain(|(profit, _)| *profit > 0.0);
        Ok(best)
    }

    /// Puts so many of an application on a server, whatever becomes of promises; whether there is memory.
    fn put(&self, occupancy: &mut Occupancy, app: usize, count: usize) -> bool {
        for request in &self.apps[app][..count] {
            if !occupancy.has_memory(self.problem, *request) {
                return false;
            }
            occupancy.add(self.problem, *request);
        }
        true
    }

    /// Puts what can be of an application on a server until there are so many.
    fn fill(&self, occupancy: &mut Occupancy, app: usize, count: usize) -> Result<()> {
        let requests = &self.apps[app];
        let mut held = occupancy.tenants.iter().filter(|r| requests.contains(r)).count();
        for request in requests {
            if held >= count {
                break;
            }
            if !occupancy.tenants.contains(request) && occupancy.try_add(self.problem, *request)? {
                held += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use neuro_data::Catalogue;
    use neuro_data::scenario::{Scenario, ScenarioParams, draw};
    use neuro_profiler::Bundle;

    use super::*;
    use crate::placement::Profiles;

    /// What is made holds and is worth what it says, and no number of two applications that holds is worth more.
    #[test]
    fn compositions_hold_and_miss_no_number() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/bundles/edge-a");
        let profiles = Profiles::default().with("edge-a", Bundle::read(&folder).unwrap());
        let mut made = 0;
        for seed in 1..=4 {
            let params = ScenarioParams {
                requests: Some(60),
                kinds: vec!["edge-a".into()],
                ..ScenarioParams::new(Scenario::Mixed, 1, seed)
            };
            let instance = draw(&params, &Catalogue::built_in()).unwrap();
            let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
            let profits: Vec<f64> = instance.requests.iter().map(|request| request.payment).collect();
            let mut names: Vec<&str> = instance.requests.iter().map(|request| request.app.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let mut apps: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
            for request in problem.admissible(0) {
                apps[names.binary_search(&instance.requests[request].app.as_str()).unwrap()].push(request);
            }
            apps.iter_mut().for_each(|app| app.sort_by(|a, b| profits[*b].total_cmp(&profits[*a])));
            let compositions = Compositions { problem: &problem, server: 0, profits: &profits, apps };
            let occupancy = |requests: &[usize]| {
                let mut occupancy = Occupancy::empty(&problem, 0);
                requests.iter().for_each(|request| occupancy.add(&problem, *request));
                occupancy
            };
            let holds = |requests: &[usize]| {
                let mut occupancy = occupancy(requests);
                occupancy.free_gb(&problem) >= -1e-9 && occupancy.holds(&problem).unwrap()
            };
            for (first, second) in [(0, 1), (2, 4), (5, 3)] {
                let best = compositions.of(first, second).unwrap();
                for (profit, tenants) in &best {
                    assert!(holds(tenants), "{seed} {first} {second}");
                    assert!((profit - tenants.iter().map(|r| profits[*r]).sum::<f64>()).abs() < 1e-9);
                    made += 1;
                }
                let most = best.iter().map(|(profit, _)| *profit).fold(0.0, f64::max);
                let (a, b) = (&compositions.apps[first], &compositions.apps[second]);
                for n in 1..=a.len() {
                    for m in 0..=b.len() {
                        let both = [&a[..n], &b[..m]].concat();
                        let worth: f64 = both.iter().map(|r| profits[*r]).sum();
                        assert!(worth <= most + 1e-9 || !holds(&both), "{seed}: {n} of {first}, {m} of {second}");
                    }
                }
            }
        }
        assert!(made > 0);
    }
}
