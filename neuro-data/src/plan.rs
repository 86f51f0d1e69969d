//! Plans: which requests are admitted and where they run.

use serde::{Deserialize, Serialize};

/// Instances of a request on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Request id.
    pub request: String,
    /// Server name.
    pub server: String,
    /// Replicas of it there.
    pub instances: u32,
}

/// Why a request was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejectionCode {
    /// No server has the memory.
    MemoryExceeded,
    /// Its own promise would be broken wherever it fits.
    OwnSla,
    /// It would break another's promise.
    BreaksNeighbour,
    /// Others pay more for the room.
    LowRevenue,
    /// The profiler has not seen such a load.
    OutsideTrainedRange,
}

/// A request that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Request id.
    pub request: String,
    /// The reason.
    pub code: RejectionCode,
    /// The figures behind it, in words.
    pub detail: String,
}

/// What a method held after some time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracePoint {
    /// Wall-clock time since the start.
    pub seconds: f64,
    /// Revenue of the best placement so far; `None` before the first.
    pub objective: Option<f64>,
    /// Best proved upper bound so far; `None` where there is none.
    pub bound: Option<f64>,
}

/// A placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What made it.
    pub method: String,
    /// Revenue of the requests that are wholly served.
    pub objective: f64,
    /// Proved upper bound on any placement's revenue; `None` where the method proves none.
    pub bound: Option<f64>,
    /// (bound − objective) / objective; `None` without a bound.
    pub gap: Option<f64>,
    /// Wall-clock time it took.
    pub seconds: f64,
    /// Why the method stopped.
    pub termination: String,
    /// Who runs where.
    pub assignments: Vec<Assignment>,
    /// Who does not run, and why.
    pub rejected: Vec<Rejection>,
    /// The plan re-evaluated from scratch; absent until it is audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<serde_json::Value>,
    /// How incumbent and bound went, in order of time; empty where the method does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TracePoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_written_in_the_documented_form() {
        let plan = Plan {
            method: "greedy".into(),
            objective: 3.0,
            bound: None,
            gap: None,
            seconds: 0.1,
            termination: "complete".into(),
            assignments: vec![Assignment { request: "r1".into(), server: "edge-1".into(), instances: 2 }],
            rejected: vec![Rejection {
                request: "r2".into(),
                code: RejectionCode::OwnSla,
                detail: "0.6 s > 0.5 s".into(),
            }],
            audit: None,
            trace: Vec::new(),
        };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            text,
            r#"{"method":"greedy","objective":3.0,"bound":null,"gap":null,"seconds":0.1,"termination":"complete","assignments":[{"request":"r1","server":"edge-1","instances":2}],"rejected":[{"request":"r2","code":"OwnSla","detail":"0.6 s > 0.5 s"}]}"#
        );
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        let traced = Plan { trace: vec![TracePoint { seconds: 0.5, objective: Some(3.0), bound: None }], ..plan };
        let text = serde_json::to_string(&traced).unwrap();
        assert!(text.ends_with(r#""trace":[{"seconds":0.5,"objective":3.0,"bound":null}]}"#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), traced);
    }
}
