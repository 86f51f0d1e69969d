use argmin::core::{CostFunction, Error, Gradient, Hessian, IterState, KV, Problem, Solver, State, TerminationReason};

type Vector = Vec<f64>;
type Matrix = Vec<Vec<f64>>;
type LmState = IterState<Vector, Vector, (), Matrix, (), f64>;

/// The Levenberg–Marquardt method for a cost with a positive definite approximate Hessian, as an argmin solver.
///
/// argmin offers Gauss–Newton and trust-region methods, but for plain vectors only without a direct solve; in six
/// dimensions a damped Cholesky solve is cheap, cannot leave a descent direction, and works whatever the units of the
/// parameters, because the damping is relative to the diagonal of the Hessian H.
///
/// Each iteration solves (H + μ diag H) p = −g and takes the step p if it lowers the cost; μ follows Nielsen's rule. The
/// search has converged when ½ gᵀ H⁻¹ g, the decrease that the local quadratic model still promises, is at most `tolerance`.
///
/// # References
///
/// - D. W. Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", Journal of the Society for
///   Industrial and Applied Mathematics 11(2), 1963, doi 10.1137/0111030.
/// - H. B. Nielsen, "Damping Parameter in Marquardt's Method", Technical University of Denmark, IMM-REP-1999-05, 1999.
pub(super) struct LevenbergMarquardt {
    tolerance: f64,
    damping: f64,
    growth: f64,
}

/// Beyond this damping a step is too short to change the parameters.
const MAX_DAMPING: f64 = 1e20;

impl LevenbergMarquardt {
    pub(super) fn new(tolerance: f64) -> Self {
        Self { tolerance, damping: 1e-2, growth: 2.0 }
    }

    fn refuse_step(&mut self) {
        self.damping *= self.growth;
        self.growth *= 2.0;
    }
}

impl<O> Solver<O, LmState> for LevenbergMarquardt
where
    O: CostFunction<Param = Vector, Output = f64>
        + Gradient<Param = Vector, Gradient = Vector>
        + Hessian<Param = Vector, Hessian = Matrix>,
{
    fn name(&self) -> &str {
        "Levenberg–Marquardt"
    }

    fn init(&mut self, problem: &mut Problem<O>, mut state: LmState) -> Result<(LmState, Option<KV>), Error> {
        let param = state.take_param().ok_or_else(|| missing("parameters"))?;
        let cost = problem.cost(&param)?;
        let gradient = problem.gradient(&param)?;
        let hessian = problem.hessian(&param)?;
        Ok((state.param(param).cost(cost).gradient(gradient).hessian(hessian), None))
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, mut state: LmState) -> Result<(LmState, Option<KV>), Error> {
        let param = state.take_param().ok_or_else(|| missing("parameters"))?;
        let gradient = state.take_gradient().ok_or_else(|| missing("gradient"))?;
        let hessian = state.take_hessian().ok_or_else(|| missing("Hessian"))?;
        let cost = state.get_cost();

        let promised = solve(&hessian, 0.0, &gradient).map(|step| 0.5 * dot(&gradient, &step));
        let step = solve(&hessian, self.damping, &gradient);
        let candidate: Option<(Vector, Vector)> = step.map(|step| {
            let moved = param.iter().zip(&step).map(|(x, p)| x - p).collect();
            (step, moved)
        });

        let mut accepted = None;
        if let Some((step, moved)) = candidate {
            let moved_cost = problem.cost(&moved)?;
            if moved_cost < cost {
                // The decrease that the model promised for this step: gᵀp − ½ pᵀHp for the step −p.
                let curvature: f64 = hessian.iter().zip(&step).map(|(row, p)| dot(row, &step) * p).sum();
                let gain = (cost - moved_cost) / (dot(&gradient, &step) - 0.5 * curvature);
                accepted = Some((moved, moved_cost, gain));
            }
        }
        let converged = promised.is_some_and(|decrease| decrease <= self.tolerance);
        let state = match accepted {
            Some((moved, moved_cost, gain)) => {
                self.damping *= (1.0 - (2.0 * gain - 1.0).powi(3)).clamp(1.0 / 3.0, 2.0);
                self.growth = 2.0;
                let gradient = problem.gradient(&moved)?;
                let hessian = problem.hessian(&moved)?;
                state.param(moved).cost(moved_cost).gradient(gradient).hessian(hessian)
            }
            None => {
                self.refuse_step();
                state.param(param).cost(cost).gradient(gradient).hessian(hessian)
            }
        };
        let state = if converged {
            state.terminate_with(TerminationReason::SolverConverged)
        } else if self.damping > MAX_DAMPING {
            state.terminate_with(TerminationReason::SolverExit("no step lowers the cost".into()))
        } else {
            state
        };
        Ok((state, None))
    }
}

fn missing(what: &str) -> Error {
    Error::msg(format!("Levenberg–Marquardt: no {what} in the state"))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Solves (H + μ diag H) x = g by Cholesky's factorisation; `None` if the matrix is not positive definite in floating point
/// or the solution is not finite.
///
/// Shapes: H is d × d and symmetric, g and x are d.
fn solve(hessian: &[Vector], damping: f64, gradient: &[f64]) -> Option<Vector> {
    let d = gradient.len();
    let mut lower = vec![vec![0.0; d]; d];
    for i in 0..d {
        for j in 0..=i {
            let explained = dot(&lower[i][..j], &lower[j][..j]);
            if i == j {
                let pivot = hessian[i][i] * (1.0 + damping) - explained;
                if pivot.is_nan() || pivot <= 0.0 {
                    return None;
                }
                lower[i][i] = pivot.sqrt();
            } else {
                lower[i][j] = (hessian[i][j] - explained) / lower[j][j];
            }
        }
    }
    let mut x = gradient.to_vec();
    for i in 0..d {
        x[i] = (x[i] - dot(&lower[i][..i], &x[..i])) / lower[i][i];
    }
    for i in (0..d).rev() {
        let explained: f64 = (i + 1..d).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (x[i] - explained) / lower[i][i];
    }
    x.iter().all(|entry| entry.is_finite()).then_some(x)
}

#[cfg(test)]
mod tests {
    use argmin::core::{Executor, TerminationStatus};

    use super::*;

    #[test]
    fn solves_a_system_by_hand() {
        // [[4, 2], [2, 3]] x = [8, 7] has the solution [1.25, 1.5]; with μ = 1 the diagonal doubles: [8, 2; 2, 6] x = [8, 7].
        let hessian = vec![vec![4.0, 2.0], vec![2.0, 3.0]];
        let x = solve(&hessian, 0.0, &[8.0, 7.0]).unwrap();
        assert!((x[0] - 1.25).abs() < 1e-14 && (x[1] - 1.5).abs() < 1e-14, "{x:?}");
        let x = solve(&hessian, 1.0, &[8.0, 7.0]).unwrap();
        assert!((x[0] - 34.0 / 44.0).abs() < 1e-14 && (x[1] - 40.0 / 44.0).abs() < 1e-14, "{x:?}");
        assert!(solve(&[vec![1.0, 2.0], vec![2.0, 1.0]], 0.0, &[1.0, 1.0]).is_none());
        assert!(solve(&[vec![f64::NAN]], 0.0, &[1.0]).is_none());
    }

    /// Rosenbrock's valley as a least-squares problem, residuals 10 (y − x²) and 1 − x, in wildly different units.
    struct Valley;
    const UNITS: [f64; 2] = [1e-4, 1e3];

    impl Valley {
        fn residuals(param: &[f64]) -> ([f64; 2], [[f64; 2]; 2]) {
            let (x, y) = (param[0] / UNITS[0], param[1] / UNITS[1]);
            ([10.0 * (y - x * x), 1.0 - x], [[-20.0 * x / UNITS[0], 10.0 / UNITS[1]], [-1.0 / UNITS[0], 0.0]])
        }
    }
    impl CostFunction for Valley {
        type Param = Vector;
        type Output = f64;
        fn cost(&self, param: &Vector) -> Result<f64, Error> {
            let ([a, b], _) = Self::residuals(param);
            Ok(0.5 * (a * a + b * b))
        }
    }
    impl Gradient for Valley {
        type Param = Vector;
        type Gradient = Vector;
        fn gradient(&self, param: &Vector) -> Result<Vector, Error> {
            let (r, jacobian) = Self::residuals(param);
            Ok((0..2).map(|i| r[0] * jacobian[0][i] + r[1] * jacobian[1][i]).collect())
        }
    }
    impl Hessian for Valley {
        type Param = Vector;
        type Hessian = Matrix;
        fn hessian(&self, param: &Vector) -> Result<Matrix, Error> {
            let (_, jacobian) = Self::residuals(param);
            let entry = |i: usize, j: usize| jacobian[0][i] * jacobian[0][j] + jacobian[1][i] * jacobian[1][j];
            Ok((0..2).map(|i| (0..2).map(|j| entry(i, j)).collect()).collect())
        }
    }

    #[test]
    fn walks_a_curved_valley_in_any_units() {
        let start = vec![-1.2 * UNITS[0], 1.0 * UNITS[1]];
        let result = Executor::new(Valley, LevenbergMarquardt::new(1e-14))
            .configure(|state| state.param(start).max_iters(200))
            .run()
            .unwrap();
        let best = result.state.best_param.unwrap();
        assert_eq!(result.state.termination_status, TerminationStatus::Terminated(TerminationReason::SolverConverged));
        assert!((best[0] / UNITS[0] - 1.0).abs() < 1e-5 && (best[1] / UNITS[1] - 1.0).abs() < 1e-5, "{best:?}");
    }
}
