/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
///
/// A time limit or an infeasible problem is no error but a [`Termination`](crate::Termination).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network that cannot be one.
    #[error(transparent)]
    Network(#[from] neuro_profiler::Error),

    /// An instance or a catalogue that is out of range.
    #[error(transparent)]
    Data(#[from] neuro_data::Error),

    /// A request that cannot be decided.
    #[error("{field}")]
    Request {
        /// The offending field of the instance, such as `requests[3].app`.
        field: String,
        /// What is wrong with it.
        #[source]
        source: Box<Error>,
    },

    /// A kind of server without a profiler.
    #[error("server {server} is of kind {kind:?}, of which there is no profiler")]
    NoProfile {
        /// The server.
        server: String,
        /// Its kind.
        kind: String,
    },

    /// A plan that breaks what it promises, which is a fault of the method that made it.
    #[error("the plan fails its audit: {finding}")]
    FailedAudit {
        /// The first thing that is wrong.
        finding: String,
    },

    /// A worker thread ended by a panic.
    #[error("a worker of the search ended by a panic")]
    WorkerPanicked,

    /// The name of no method.
    #[error("unknown method {name:?}; known: {known}")]
    UnknownMethod {
        /// The name given.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },

    /// Bounds between which no value lies.
    #[error("no value lies between the bounds {lower} and {upper}")]
    InvalidBounds {
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },

    /// An objective better than a bound that was proved: one of the two is wrong.
    #[error("the objective {objective} is better than the proved bound {bound}")]
    BoundContradicted {
        /// The objective of the solution held.
        objective: f64,
        /// The bound.
        bound: f64,
    },

    /// An input of a network between whose bounds no number lies, or no whole number where it must be one.
    #[error("input {input}: no value lies between its bounds {lower} and {upper}")]
    InvalidInputBounds {
        /// Position of the input, from 0.
        input: usize,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },

    /// A row over the inputs with a figure that is not finite.
    #[error("row {row} over the inputs holds {figure}")]
    InvalidRow {
        /// Position of the row, from 0.
        row: usize,
        /// The figure.
        figure: f64,
    },

    /// A domain without a point.
    #[error("the domain is empty: its rows exclude the whole box")]
    EmptyDomain,

    /// A variable of a model between whose bounds no number lies.
    #[error("variable {name:?}: no value lies between {lower} and {upper}")]
    InvalidVariable {
        /// Its name.
        name: String,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },

    /// A row of a model, or its objective, with figures that it cannot have.
    #[error("row {row} of the model holds figures that are none, or bounds without a value between: {lower}, {upper}")]
    InvalidModelRow {
        /// Position of the row, from 0.
        row: usize,
        /// The lower bound, or the offending figure.
        lower: f64,
        /// The upper bound, or the offending figure.
        upper: f64,
    },

    /// A variable that the model does not have.
    #[error("the model has no variable {variable}, only {variables} from 0 on")]
    UnknownVariable {
        /// Its position.
        variable: usize,
        /// Number of variables.
        variables: usize,
    },

    /// A table that cannot be one.
    #[error("a table {problem}")]
    InvalidTable {
        /// What is wrong.
        problem: &'static str,
    },

    /// A solver failed or contradicted itself.
    #[error("{solver}: {problem}")]
    Solver {
        /// Its name.
        solver: &'static str,
        /// What happened.
        problem: String,
    },

    /// A solver's optimum that the network's forward pass does not confirm.
    #[error("the solver claims {claimed}, but the network gives {forward} there")]
    Unconfirmed {
        /// The solver's objective.
        claimed: f64,
        /// The forward pass.
        forward: f64,
    },

    /// A file that cannot be read, or does not hold what it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        problem: String,
    },

    /// A layer in a file that cannot be one.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// Position of the layer, from 0.
        layer: usize,
        /// What is wrong.
        problem: String,
    },

    /// A problem file with half of its row.
    #[error("the row a·x ≤ b needs both \"a\" and \"b\"")]
    HalfRow,

    /// An ONNX model that is no chain of dense layers.
    #[error("the ONNX model {problem}")]
    Onnx {
        /// What is wrong.
        problem: String,
    },

    /// A weight of the objective that is not finite.
    #[error("the objective's weight of output {output} is {figure}")]
    InvalidObjective {
        /// Position of the output, from 0.
        output: usize,
        /// The weight.
        figure: f64,
    },

    /// A position that is none of an input.
    #[error("there is no input {input}, only {inputs} from 0 on")]
    UnknownInput {
        /// The position.
        input: usize,
        /// Number of inputs.
        inputs: usize,
    },

    /// A vector of another length than is needed.
    #[error("{needed} figures are needed, but {found} were given")]
    InputLength {
        /// Figures given.
        found: usize,
        /// Figures needed.
        needed: usize,
    },

    /// The bounds of a unit are not finite, so that no big-M exists.
    #[error(
        "layer {layer}, unit {unit}: its input is only known to lie in [{lower}, {upper}]; give the inputs finite and smaller \
         bounds"
    )]
    Overflow {
        /// Position of the layer, from 0.
        layer: usize,
        /// Position of the unit in it.
        unit: usize,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },

    /// An activation that a mixed-integer program cannot hold.
    #[error("layer {layer} has the activation {activation:?}; exact encodings exist for ReLU and identity only")]
    UnsupportedActivation {
        /// Position of the layer, from 0.
        layer: usize,
        /// What it applies.
        activation: neuro_profiler::network::Activation,
    },

    /// A method that needs more of a profiler than it has.
    #[error("{method} cannot use the profiler {found:?}: {needed}")]
    UnsuitedProfiler {
        /// The method.
        method: crate::Method,
        /// The profiler's architecture.
        found: &'static str,
        /// What it needs.
        needed: &'static str,
    },

    /// A method that fills one server, and more than one.
    #[error("{method} decides on one server, and the instance has {servers}; take decomposed or lns")]
    OneServerOnly {
        /// The method.
        method: crate::Method,
        /// How many there are.
        servers: usize,
    },

    /// A certificate that proves nothing.
    #[error("the certificate fails at {place}: {problem}")]
    Certificate {
        /// Where.
        place: String,
        /// Why.
        problem: &'static str,
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

    /// An outcome whose parts cannot all be true.
    #[error("contradictory outcome: {0}")]
    Contradiction(&'static str),
}

impl Error {
    /// Whether what was given is to blame, rather than a solver or this crate.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_input(),
            Self::Network(error) => error.is_input(),
            Self::FailedAudit { .. }
            | Self::WorkerPanicked
            | Self::BoundContradicted { .. }
            | Self::Solver { .. }
            | Self::Unconfirmed { .. }
            | Self::Contradiction(_) => false,
            _ => true,
        }
    }
}
