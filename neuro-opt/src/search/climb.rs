use crate::lp::LpStatus;
use crate::relaxation::Relaxation;
use crate::split_form::SplitForm;

/// Steps from one linear region to the next.
const STEPS: usize = 50;

/// Local search from the input `x`: the best point of its linear region, by a linear program, then of the region on the other
/// side of the phase boundaries that hold it back, while that is better. `root` is an unsolved relaxation with the objective set;
/// `offer` is told each point found.
pub(crate) fn climb(root: &Relaxation, form: &SplitForm, x: &[f64], mut offer: impl FnMut(&[f64])) {
    let values = form.values(x);
    let mut active: Vec<bool> = form.units.iter().map(|unit| unit.preactivation.at(&values) > 0.0).collect();
    let mut best = f64::INFINITY;
    for _ in 0..STEPS {
        let mut region = root.clone();
        let exists = active.iter().enumerate().all(|(unit, &active)| region.fix(form, unit, active));
        if !exists || region.lp.solve(f64::INFINITY) != LpStatus::Optimal || region.lp.objective() >= best - 1e-9 {
            return;
        }
        best = region.lp.objective();
        offer(&region.inputs(form));
        let mut crossed = false;
        for (unit, active) in active.iter_mut().enumerate() {
            // The variable that is fixed at 0 in the other phase, at its bound.
            let variable = if *active { region.output(form, unit) } else { region.row(unit) };
            if !region.lp.is_basic(variable) && region.preactivation(form, unit).abs() < 1e-9 {
                *active = !*active;
                crossed = true;
            }
        }
        if !crossed {
            return;
        }
    }
}
