use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
///
/// A fit that does not converge is no error: it is said in [`SigmoidFit::converged`](crate::SigmoidFit::converged).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The vocabulary or a file of it.
    #[error(transparent)]
    Data(#[from] neuro_data::Error),

    /// A measurement holds a value that no measurement can have.
    #[error("{app} beside {neighbour}: {field} is {value}, but must be {required}")]
    InvalidPoint {
        /// The application measured.
        app: String,
        /// The application beside it.
        neighbour: String,
        /// The offending field of [`ContentionPoint`](crate::ContentionPoint).
        field: &'static str,
        /// The offending value.
        value: f64,
        /// What the field must be.
        required: &'static str,
    },

    /// There are fewer measurements of a pair than a fit needs.
    #[error("{app} beside {neighbour}: {found} points, but a curve needs at least {needed}")]
    TooFewPoints {
        /// The application measured.
        app: String,
        /// The application beside it.
        neighbour: String,
        /// Points given.
        found: usize,
        /// Points needed.
        needed: usize,
    },

    /// The points given for one curve belong to several pairs.
    #[error("the points of one curve must be of one pair, but {first} and {other} are among them")]
    MixedPairs {
        /// One pair found, as `app beside neighbour`.
        first: String,
        /// Another.
        other: String,
    },

    /// No points at all.
    #[error("no points given")]
    NoPoints,

    /// Every start of a fit ended without finite numbers.
    #[error("{app} beside {neighbour}: none of {starts} starts reached finite parameters ({reason})")]
    NoFit {
        /// The application measured.
        app: String,
        /// The application beside it.
        neighbour: String,
        /// Starts tried.
        starts: usize,
        /// What the last of them reported.
        reason: String,
    },

    /// An option is out of its legal range.
    #[error("option {name} is {value}, but must be {required}")]
    InvalidOption {
        /// The option.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        required: &'static str,
    },

    /// The points of a curve are not finite or not in ascending order of x.
    #[error("point {index} of the curve, ({x}, {y}), must be finite and lie to the right of the one before it")]
    InvalidCurve {
        /// Position of the point, from 0.
        index: usize,
        /// Its x.
        x: f64,
        /// Its y.
        y: f64,
    },

    /// A curve has fewer points than the method needs.
    #[error("the curve has {found} points, but {needed} are needed")]
    CurveTooShort {
        /// Points given.
        found: usize,
        /// Points needed.
        needed: usize,
    },

    /// A layer of a network cannot be one.
    #[error("a layer of {outputs} outputs and {inputs} inputs {problem}")]
    InvalidLayer {
        /// Rows of its weights.
        outputs: usize,
        /// Columns of its weights.
        inputs: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// The layers of a network do not fit together.
    #[error("layer {layer} of the network: {problem}")]
    InvalidNetwork {
        /// Position of the layer, from 0.
        layer: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// A network was given an input of another length than it takes.
    #[error("the network takes {needed} inputs, but {found} were given")]
    InputLength {
        /// Figures given.
        found: usize,
        /// Figures needed.
        needed: usize,
    },

    /// A least-squares line could not be computed.
    #[error("cannot fit the least-squares line")]
    Line(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// A file could not be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },

    /// A file is no JSON.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: serde_json::Error,
    },

    /// A file is JSON but not of the form expected.
    #[error("{}: {key}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The offending key, such as `tclf-rf.kalman-gru.beta2`.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A profiler does not know an application.
    #[error("the profiler does not know the application {id:?}; it knows: {known}")]
    UntrainedApp {
        /// The application asked for.
        id: String,
        /// Those that it knows, comma-separated.
        known: String,
    },

    /// A position beyond a profiler's applications.
    #[error("there is no application {index}: the profiler knows {apps}")]
    AppIndex {
        /// The position.
        index: usize,
        /// Applications that it knows.
        apps: usize,
    },

    /// A tenant has a load that nothing can have.
    #[error("{field} of {app} is {value}, but must be finite and at least 0")]
    InvalidLoad {
        /// The application.
        app: String,
        /// The offending field of [`Load`](crate::Load).
        field: &'static str,
        /// Its value.
        value: f64,
    },

    /// A setting is none that can be.
    #[error("{name} is {value}, but must be {required}")]
    InvalidSetting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        required: &'static str,
    },

    /// A tensor of a file is not what it must be.
    #[error("tensor {tensor} {problem}")]
    InvalidTensor {
        /// Its name, or `all`.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },

    /// There is nothing to learn from.
    #[error("no complete run to learn from (servers: {servers})")]
    NoRuns {
        /// The servers looked for or found.
        servers: String,
    },

    /// Curves need pairs.
    #[error("no complete pairwise run to fit curves to: measure some with `neuro run pairwise` into the same dataset")]
    NoPairs,

    /// An application occurs but was never measured.
    #[error("{app} was never measured in the training runs: no service time of it is known")]
    UnmeasuredApp {
        /// The application.
        app: String,
    },

    /// A PyTorch file could not be read.
    #[cfg(feature = "candle")]
    #[error("{} is no PyTorch state dict that can be read", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<candle_core::Error>,
    },

    /// Training ended without finite weights.
    #[error("the training reached no finite weights in {step} steps: lower the learning rate")]
    Diverged {
        /// Steps done.
        step: usize,
    },

    /// A bundle is not what it must be.
    #[error("{}: the bundle is refused: {problem}", path.display())]
    InvalidBundle {
        /// Its folder.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

impl Error {
    /// Whether what was given is to blame, rather than the system or a computation.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_input(),
            Self::Io { .. } | Self::Line(_) | Self::NoFit { .. } | Self::Diverged { .. } => false,
            _ => true,
        }
    }
}
