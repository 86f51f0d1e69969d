//! `kalman-gru`: state estimation by a Kalman filter whose gain is learned.

use candle_core::{Device, Module, Result as TensorResult, Tensor};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, RNN, gru};
use candle_nn::{Init, Linear, VarBuilder};
use rand::Rng;
use rand_distr::StandardNormal;

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::registry::App;
use crate::seed;

/// Size m of the state.
const STATES: usize = 2;
/// Size n of an observation.
const OBSERVATIONS: usize = 2;
/// Width of the layer before the GRU, (m + n)·10·8.
const INPUT_WIDTH: usize = (STATES + OBSERVATIONS) * 10 * 8;
/// Width of the GRU, (m² + n²)·10.
const HIDDEN: usize = (STATES * STATES + OBSERVATIONS * OBSERVATIONS) * 10;
/// Width of the layer after the GRU, m·n·4.
const OUTPUT_WIDTH: usize = STATES * OBSERVATIONS * 4;
/// Length T of the trajectory, in steps.
const STEPS: usize = 100;

/// State transition F: a rotation by 0.3 rad that shrinks by 0.98 per step.
const TRANSITION: Matrix = [[0.936_23, -0.289_61], [0.289_61, 0.936_23]];
/// Observation matrix H.
const OBSERVATION: Matrix = [[1.0, 0.5], [0.0, 1.0]];
/// Standard deviations of the process and of the observation noise.
const PROCESS_NOISE: f32 = 0.1;
const OBSERVATION_NOISE: f32 = 0.3;
/// Bound of the initial weights of the gain itself: an untrained filter trusts its prediction, so that it stays stable.
const GAIN_BOUND: f64 = 0.02;
/// The state before the first step, known to the filter.
const INITIAL_STATE: Vector = [1.0, 0.0];

type Vector = [f32; 2];
type Matrix = [[f32; 2]; 2];

/// The registry entry.
pub static APP: App = App {
    id: "kalman-gru",
    description: "KalmanNet (GRU gain estimator) on a linear 2-state system, T = 100",
    default_batch: 16,
    max_batch: 1_024,
    model: |weights, _| Ok(Box::new(KalmanNet::load(weights)?)),
};

/// KalmanNet, architecture 1: a Kalman filter for a system of known F and H and unknown noise, whose gain comes from a
/// recurrent network instead of covariances.
///
/// The system here: x_t = F·x_{t−1} + w_t and y_t = H·x_t + v_t with m = 2 states (a damped oscillator), n = 2 observations and
/// white noise. One step, with ‖·‖ a vector divided by its length:
///
/// ```text
/// x_prior = F·x_{t−1}                      y_prior = H·x_prior
/// features = [‖y_t − y_prior‖, ‖x_{t−1} − x_prior_{t−1}‖]       innovation, forward update difference
/// gain K  = W_3·ReLU(W_2·GRU(ReLU(W_1·features)))               2 × 2
/// x_t     = x_prior + K·(y_t − y_prior)
/// ```
///
/// # References
///
/// G. Revach, N. Shlezinger, X. Ni, A. L. Escoriza, R. J. G. van Sloun, Y. C. Eldar, "KalmanNet: Neural Network Aided Kalman
/// Filtering for Partially Known Dynamics", IEEE Transactions on Signal Processing 70, 2022, doi 10.1109/TSP.2022.3158588.
#[derive(Debug, Clone)]
pub struct KalmanNet {
    input: Linear,
    gru: GRU,
    output: [Linear; 2],
}

/// What the filter carries from one step to the next.
#[derive(Debug, Clone)]
struct FilterState {
    /// The estimate x_{t−1}.
    posterior: Vector,
    /// The prediction of it before its observation was seen.
    prior: Vector,
    /// The state of the GRU, (1, 80).
    hidden: GRUState,
}

impl KalmanNet {
    /// Loads the gain estimator: `input`, `gru`, `output.0`, `output.1`, with `weight` and `bias`, in the GRU `weight_ih_l0` and
    /// so on. Initial values, where the builder draws them: uniform in ±1/√inputs, as in PyTorch; the gain's own layer in ±0.02.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder) -> TensorResult<Self> {
        let init = uniform(1.0 / (HIDDEN as f64).sqrt());
        let config = GRUConfig { w_ih_init: init, w_hh_init: init, b_ih_init: Some(init), b_hh_init: Some(init) };
        let output = vb.pp("output");
        Ok(Self {
            input: dense(STATES + OBSERVATIONS, INPUT_WIDTH, vb.pp("input"))?,
            gru: gru(INPUT_WIDTH, HIDDEN, config, vb.pp("gru"))?,
            output: [
                dense(HIDDEN, OUTPUT_WIDTH, output.pp(0))?,
                dense_within(GAIN_BOUND, OUTPUT_WIDTH, STATES * OBSERVATIONS, output.pp(1))?,
            ],
        })
    }

    /// The estimates of all states of a trajectory from its observations, starting from (1, 0).
    ///
    /// # Errors
    ///
    /// When a tensor operation fails.
    pub fn filter(&self, observations: &[[f32; 2]]) -> TensorResult<Vec<[f32; 2]>> {
        let mut state = FilterState { posterior: INITIAL_STATE, prior: INITIAL_STATE, hidden: self.gru.zero_state(1)? };
        let mut estimates = Vec::with_capacity(observations.len());
        for &observation in observations {
            state = self.step(&state, observation)?;
            estimates.push(state.posterior);
        }
        Ok(estimates)
    }

    fn step(&self, before: &FilterState, observation: Vector) -> TensorResult<FilterState> {
        let prior = product(TRANSITION, before.posterior);
        let innovation = difference(observation, product(OBSERVATION, prior));
        let update = difference(before.posterior, before.prior);
        let (gain, hidden) = self.gain(normalised(innovation), normalised(update), &before.hidden)?;
        let [dx0, dx1] = product(gain, innovation);
        Ok(FilterState { posterior: [prior[0] + dx0, prior[1] + dx1], prior, hidden })
    }

    /// The gain from the normalised innovation and update difference.
    fn gain(&self, innovation: Vector, update: Vector, hidden: &GRUState) -> TensorResult<(Matrix, GRUState)> {
        let features = Tensor::new(&[[innovation[0], innovation[1], update[0], update[1]]], &Device::Cpu)?;
        let hidden = self.gru.step(&self.input.forward(&features)?.relu()?, hidden)?;
        let [inner, outer] = &self.output;
        let gain = outer.forward(&inner.forward(hidden.h())?.relu()?)?;
        match gain.flatten_all()?.to_vec1()?[..] {
            [a, b, c, d] => Ok(([[a, b], [c, d]], hidden)),
            _ => candle_core::bail!("the gain has shape {:?}, not (1, 4)", gain.shape()),
        }
    }
}

fn uniform(bound: f64) -> Init {
    Init::Uniform { lo: -bound, up: bound }
}

fn dense(inputs: usize, outputs: usize, vb: VarBuilder) -> TensorResult<Linear> {
    dense_within(1.0 / (inputs as f64).sqrt(), inputs, outputs, vb)
}

fn dense_within(bound: f64, inputs: usize, outputs: usize, vb: VarBuilder) -> TensorResult<Linear> {
    let weight = vb.get_with_hints((outputs, inputs), "weight", uniform(bound))?;
    let bias = vb.get_with_hints(outputs, "bias", uniform(bound))?;
    Ok(Linear::new(weight, Some(bias)))
}

fn product(a: Matrix, x: Vector) -> Vector {
    a.map(|row| row[0] * x[0] + row[1] * x[1])
}

fn difference(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1]]
}

/// `x` divided by its length; zero stays zero.
fn normalised(x: Vector) -> Vector {
    let length = x[0].hypot(x[1]).max(1e-12);
    x.map(|value| value / length)
}

/// One inference filters `batch` consecutive steps from the start of a trajectory. Beyond its 100 steps the filter starts again at its
/// beginning, with a fresh state.
impl Model for KalmanNet {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let trajectory = simulate(seed);
        let observations: Vec<f32> = trajectory.iter().flatten().copied().cycle().take(batch * OBSERVATIONS).collect();
        let observations = Tensor::from_vec(observations, (batch, OBSERVATIONS), &Device::Cpu)?;
        Ok(Tensors::from([("observations".to_owned(), observations)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        let observations = input(&APP, inputs, "observations")?.to_vec2::<f32>()?;
        let mut estimates = Vec::with_capacity(observations.len());
        for trajectory in observations.chunks(STEPS) {
            let pairs = trajectory.iter().map(|row| match row[..] {
                [a, b] => Ok([a, b]),
                _ => candle_core::bail!("an observation has {} values, not {OBSERVATIONS}", row.len()),
            });
            estimates.extend(self.filter(&pairs.collect::<TensorResult<Vec<_>>>()?)?);
        }
        let steps = estimates.len();
        Ok(Tensor::from_vec(estimates.into_flattened(), (steps, STATES), &Device::Cpu)?)
    }
}

/// The observations of one simulated trajectory, T of them.
fn simulate(seed: u64) -> Vec<Vector> {
    let mut rng = seed::stream(seed, "kalman-gru.trajectory");
    let mut noise = |deviation: f32| deviation * rng.sample::<f32, _>(StandardNormal);
    let mut state = INITIAL_STATE;
    (0..STEPS)
        .map(|_| {
            state = product(TRANSITION, state).map(|x| x + noise(PROCESS_NOISE));
            product(OBSERVATION, state).map(|y| y + noise(OBSERVATION_NOISE))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::InferenceApp;
    use crate::weights::SeededWeights;
    use candle_nn::VarMap;

    /// 4·320 + 320; GRU 3·80·(320 + 80 + 2); 80·16 + 16; 16·4 + 4.
    #[test]
    fn has_the_expected_number_of_parameters() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, candle_core::DType::F32, &Device::Cpu);
        KalmanNet::load(vb).unwrap();
        let count: usize = variables.all_vars().iter().map(|var| var.elem_count()).sum();
        assert_eq!(count, 1_600 + 96_480 + 1_296 + 68);
    }

    /// The equations of the doc comment and of a GRU, r first, then z, then n, in 64-bit loops over the same weights.
    #[test]
    fn three_steps_agree_with_the_equations() {
        struct Layer {
            weight: Vec<Vec<f32>>,
            bias: Vec<f32>,
        }
        impl Layer {
            fn load(name: &str, suffix: &str, inputs: usize, outputs: usize, bound: f64) -> Self {
                let vb = SeededWeights::var_builder(11).pp(name);
                let get = |shape: (usize, usize), kind: &str| {
                    vb.get_with_hints(shape, &format!("{kind}{suffix}"), uniform(bound)).unwrap()
                };
                Self {
                    weight: get((outputs, inputs), "weight").to_vec2().unwrap(),
                    bias: get((outputs, 1), "bias").flatten_all().unwrap().to_vec1().unwrap(),
                }
            }
            fn apply(&self, x: &[f64]) -> Vec<f64> {
                let dot = |row: &Vec<f32>| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
                let rows = self.weight.iter().zip(&self.bias);
                rows.map(|(row, bias)| dot(row) + f64::from(*bias)).collect()
            }
        }
        let relu = |x: Vec<f64>| -> Vec<f64> { x.into_iter().map(|v| v.max(0.0)).collect() };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let times = |a: Matrix, x: [f64; 2]| a.map(|row| f64::from(row[0]) * x[0] + f64::from(row[1]) * x[1]);
        let unit = |x: [f64; 2]| x.map(|v| v / x[0].hypot(x[1]).max(1e-12));

        let root = |inputs: u32| 1.0 / f64::from(inputs).sqrt();
        let input = Layer::load("input", "", 4, 320, root(4));
        let gru_input = Layer::load("gru", "_ih_l0", 320, 240, root(80));
        let gru_hidden = Layer::load("gru", "_hh_l0", 80, 240, root(80));
        let inner = Layer::load("output.0", "", 80, 16, root(80));
        let outer = Layer::load("output.1", "", 16, 4, GAIN_BOUND);

        let observations = simulate(11)[..3].to_vec();
        let filter = KalmanNet::load(SeededWeights::var_builder(11)).unwrap();
        let estimates = filter.filter(&observations).unwrap();

        let (mut x, mut x_prior, mut h) = ([1.0, 0.0], [1.0, 0.0], vec![0.0; 80]);
        for (y, estimate) in observations.iter().zip(&estimates) {
            let prior = times(TRANSITION, x);
            let predicted = times(OBSERVATION, prior);
            let innovation = [f64::from(y[0]) - predicted[0], f64::from(y[1]) - predicted[1]];
            let (dy, dx) = (unit(innovation), unit([x[0] - x_prior[0], x[1] - x_prior[1]]));
            let hidden_input = relu(input.apply(&[dy[0], dy[1], dx[0], dx[1]]));
            let (a, b) = (gru_input.apply(&hidden_input), gru_hidden.apply(&h));
            h = (0..80)
                .map(|k| {
                    let r = sigmoid(a[k] + b[k]);
                    let z = sigmoid(a[80 + k] + b[80 + k]);
                    let n = (a[160 + k] + r * b[160 + k]).tanh();
                    (1.0 - z) * n + z * h[k]
                })
                .collect();
            let k = outer.apply(&relu(inner.apply(&h)));
            (x, x_prior) = (
                [
                    prior[0] + k[0] * innovation[0] + k[1] * innovation[1],
                    prior[1] + k[2] * innovation[0] + k[3] * innovation[1],
                ],
                prior,
            );
            assert!((x[0] - f64::from(estimate[0])).abs() < 1e-5);
            assert!((x[1] - f64::from(estimate[1])).abs() < 1e-5);
            assert_ne!(*estimate, prior.map(|v| v as f32), "the gain must matter");
        }
    }

    #[test]
    fn beyond_the_trajectory_the_filter_starts_again() {
        let mut app = APP.build(3, None).unwrap();
        let twice = app.infer(250).unwrap();
        let once = app.infer(100).unwrap();
        assert_eq!(twice[..100], once);
        assert_eq!(twice[100..200], once);
        assert_eq!(twice[200..], once[..50]);
    }

    #[test]
    fn estimates_stay_finite_whatever_the_seed() {
        for seed in 0..20 {
            let estimates = APP.build(seed, None).unwrap().infer(100).unwrap();
            assert!(estimates.iter().all(|x| x.abs() < 10.0), "seed {seed}: {estimates:?}");
        }
    }
}
