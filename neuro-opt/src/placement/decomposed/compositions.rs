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
