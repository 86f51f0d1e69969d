//! Giving a plan to servers so that as little as possible moves.
//!
//! Servers of one kind and memory are the same to a planner: which of them gets which share of a plan is ours to choose. The choice
//! that keeps most running instances where they are is an assignment problem, solved exactly for each class.
//!
//! ## References
//! - H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics Quarterly 2, 1955,
//!   DOI 10.1002/nav.3800020109.

use std::collections::BTreeMap;

use neuro_data::instance::Server;
use neuro_data::plan::{Assignment, Plan};

/// Renames the servers of a plan within their classes so that most of `running` stays where it is.
pub(crate) fn with_fewest_moves(plan: &mut Plan, running: &[Assignment], servers: &[Server]) {
    let mut classes: BTreeMap<(&str, u64), Vec<&str>> = BTreeMap::new();
    for server in servers {
        classes.entry((&server.kind, server.memory_gb.to_bits())).or_default().push(&server.name);
    }
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for class in classes.values() {
        let kept = |planned: &str, now: &str| -> i64 {
            let of_planned = plan.assignments.iter().filter(|a| a.server == planned);
            let stays = |a: &Assignment| {
                let there = running.iter().find(|r| r.server == now && r.request == a.request);
                there.map_or(0, |there| i64::from(a.instances.min(there.instances)))
            };
            of_planned.map(stays).sum()
        };
        let cost: Vec<Vec<i64>> = class.iter().map(|planned| class.iter().map(|now| -kept(planned, now)).collect()).collect();
        for (planned, now) in cheapest_assignment(&cost).into_iter().enumerate() {
            renamed.insert(class[planned].to_owned(), class[now].to_owned());
        }
    }
    let rename = |server: &mut String| {
        if let Some(name) = renamed.get(server) {
            server.clone_from(name);
        }
    };
    plan.assignments.iter_mut().for_each(|assignment| rename(&mut assignment.server));
    let promises = plan.audit.as_mut().and_then(|audit| audit.get_mut("promises")).and_then(|p| p.as_array_mut());
    for promise in promises.into_iter().flatten() {
        if let Some(name) = promise["server"].as_str().and_then(|server| renamed.get(server)) {
            promise["server"] = name.as_str().into();
        }
    }
}

/// Instances that have to be started where they do not run.
pub(crate) fn moves(plan: &[Assignment], running: &[Assignment]) -> u32 {
    let new = |a: &Assignment| {
        let there = running.iter().find(|r| r.server == a.server && r.request == a.request);
        a.instances.saturating_sub(there.map_or(0, |there| there.instances))
    };
    plan.iter().map(new).sum()
}

/// The column of each row of a square matrix such that the sum is least: shortest augmenting paths, O(n³). `u` and `v` are the
/// potentials of rows and columns; index 0 is a row and a column of nobody.
fn cheapest_assignment(cost: &[Vec<i64>]) -> Vec<usize> {
    let n = cost.len();
    let (mut u, mut v) = (vec![0_i64; n + 1], vec![0_i64; n + 1]);
    // Row of each column.
    let mut row = vec![0; n + 1];
    for i in 1..=n {
        row[0] = i;
        let mut column = 0;
        let mut least = vec![i64::MAX; n + 1];
        let mut from = vec![0; n + 1];
        let mut used = vec![false; n + 1];
        while row[column] != 0 {
            used[column] = true;
            let (mut delta, mut next) = (i64::MAX, 0);
            for j in 1..=n {
                if used[j] {
                    continue;
                }
                let reduced = cost[row[column] - 1][j - 1] - u[row[column]] - v[j];
                if reduced < least[j] {
                    (least[j], from[j]) = (reduced, column);
                }
                if least[j] < delta {
                    (delta, next) = (least[j], j);
                }
            }
            for j in 0..=n {
                if used[j] {
                    u[row[j]] += delta;
                    v[j] -= delta;
                } else if least[j] != i64::MAX {
                    least[j] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            let before = from[column];
            row[column] = row[before];
            column = before;
        }
    }
    let mut columns = vec![0; n];
    for (column, row) in row.iter().enumerate().skip(1) {
        columns[row - 1] = column - 1;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assignment(request: &str, server: &str, instances: u32) -> Assignment {
        Assignment { request: request.into(), server: server.into(), instances }
    }

    fn server(name: &str, kind: &str) -> Server {
        Server { name: name.into(), kind: kind.into(), memory_gb: 8.0 }
    }

    fn plan(assignments: Vec<Assignment>) -> Plan {
        let promises: Vec<serde_json::Value> =
            assignments.iter().map(|a| serde_json::json!({"request": a.request, "server": a.server})).collect();
        Plan {
            method: String::new(),
            objective: 0.0,
            bound: None,
            gap: None,
            seconds: 0.0,
            termination: String::new(),
            assignments,
            rejected: Vec::new(),
            audit: Some(serde_json::json!({ "promises": promises })),
            trace: Vec::new(),
        }
    }

    #[test]
    fn a_plan_that_only_names_servers_otherwise_moves_nothing() {
        let servers = [server("a1", "a"), server("a2", "a"), server("b1", "b")];
        let running = [assignment("x", "a1", 2), assignment("y", "a2", 1), assignment("z", "b1", 1)];
        let mut new = plan(vec![assignment("y", "a1", 1), assignment("x", "a2", 2), assignment("z", "b1", 1)]);
        assert_eq!(moves(&new.assignments, &running), 3);
        with_fewest_moves(&mut new, &running, &servers);
        assert_eq!(moves(&new.assignments, &running), 0);
        assert_eq!(new.audit.unwrap()["promises"][0]["server"], "a2");
        // Another kind is another server.
        let mut new = plan(vec![assignment("x", "b1", 2)]);
        with_fewest_moves(&mut new, &running, &servers);
        assert_eq!(new.assignments[0].server, "b1");
    }

    proptest! {
        #[test]
        fn the_assignment_is_the_cheapest_of_all(cost in (1_usize..6).prop_flat_map(|n| {
            proptest::collection::vec(proptest::collection::vec(-20_i64..20, n), n)
        })) {
            let found = cheapest_assignment(&cost);
            let mut sorted = found.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..cost.len()).collect::<Vec<_>>());
            let sum: i64 = found.iter().enumerate().map(|(row, column)| cost[row][*column]).sum();
            prop_assert_eq!(sum, brute_force(&cost, 0, &mut vec![false; cost.len()]));
        }
    }

    fn brute_force(cost: &[Vec<i64>], row: usize, used: &mut Vec<bool>) -> i64 {
        if row == cost.len() {
            return 0;
        }
        let mut best = i64::MAX;
        for column in 0..cost.len() {
            if !used[column] {
                used[column] = true;
                best = best.min(cost[row][column] + brute_force(cost, row + 1, used));
                used[column] = false;
            }
        }
        best
    }
}
