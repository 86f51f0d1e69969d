use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A placement method, by the name that the command line and plan files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `exact`: branch and bound on one server.
    Exact,
    /// `decomposed`: Dantzig–Wolfe decomposition over many servers, with its certificate.
    Decomposed,
    /// `lns`: large neighbourhood search, ruin and recreate.
    Lns,
    /// `greedy`: requests one after another, each where it fits.
    Greedy,
    /// `first-fit`: requests one after another, each where there is memory, whatever latency becomes of it.
    FirstFit,
    /// `milp`: the network as big-M constraints in one mixed-integer program.
    Milp,
    /// `neuro`: relax, merge and round, server after server, as the NeuRO prototype does.
    Neuro,
    /// `perx`: a mixed-integer program on PERX curves.
    Perx,
    /// `scaloran`: a mixed-integer program on ScalO-RAN curves, averaged over the applications of a server.
    Scaloran,
    /// `scaloran-cons`: a mixed-integer program on the target's own ScalO-RAN curve alone.
    ScaloranCons,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 10] = [
        Self::Exact,
        Self::Decomposed,
        Self::Lns,
        Self::Greedy,
        Self::FirstFit,
        Self::Milp,
        Self::Neuro,
        Self::Perx,
        Self::Scaloran,
        Self::ScaloranCons,
    ];

    /// The name of the method.
    pub fn id(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Decomposed => "decomposed",
            Self::Lns => "lns",
            Self::Greedy => "greedy",
            Self::FirstFit => "first-fit",
            Self::Milp => "milp",
            Self::Neuro => "neuro",
            Self::Perx => "perx",
            Self::Scaloran => "scaloran",
            Self::ScaloranCons => "scaloran-cons",
        }
    }

    /// Whether the method proves a bound on the revenue that is possible under the latency model that it optimises.
    ///
    /// Heuristics prove none, and neither does `perx`, which solves a sequence of programs with other request rates each.
    pub fn proves_bound(self) -> bool {
        match self {
            Self::Exact | Self::Decomposed | Self::Milp | Self::Scaloran | Self::ScaloranCons => true,
            Self::Lns | Self::Greedy | Self::FirstFit | Self::Neuro | Self::Perx => false,
        }
    }

    /// Whether the method decides by what the profilers promise, so that a plan of it which breaks a promise is an error.
    ///
    /// The others decide by memory alone, by curves of their own, or round without looking again: their plans' audits tell which
    /// promises they break.
    pub fn keeps_promises(self) -> bool {
        match self {
            Self::Exact | Self::Decomposed | Self::Lns | Self::Greedy | Self::Milp => true,
            Self::FirstFit | Self::Neuro | Self::Perx | Self::Scaloran | Self::ScaloranCons => false,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Method {
    type Err = Error;

    /// The method with this exact name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.id() == name)
            .ok_or_else(|| Error::UnknownMethod { name: name.to_owned(), known: Self::ALL.map(Self::id).join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        let names =
            ["exact", "decomposed", "lns", "greedy", "first-fit", "milp", "neuro", "perx", "scaloran", "scaloran-cons"];
        assert_eq!(Method::ALL.map(Method::id), names);
        for method in Method::ALL {
            let name = method.to_string();
            assert_eq!(name.parse::<Method>().unwrap(), method);
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Method>(&format!("\"{name}\"")).unwrap(), method);
        }
    }

    #[test]
    fn rivals_may_break_promises() {
        let keeping: Vec<_> =
            Method::ALL.into_iter().filter(|method| method.keeps_promises()).map(Method::id).collect();
        assert_eq!(keeping, ["exact", "decomposed", "lns", "greedy", "milp"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        for name in ["", "Exact", "gurobi", "scaloran_cons"] {
            let message = name.parse::<Method>().unwrap_err().to_string();
            assert!(message.contains(&format!("{name:?}")) && message.contains("scaloran-cons"), "{message}");
        }
    }

    #[test]
    fn heuristics_prove_nothing() {
        let proving: Vec<_> = Method::ALL.into_iter().filter(|method| method.proves_bound()).map(Method::id).collect();
        assert_eq!(proving, ["exact", "decomposed", "milp", "scaloran", "scaloran-cons"]);
    }
}
