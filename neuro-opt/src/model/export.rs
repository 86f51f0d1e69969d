use std::fmt::Write;

use super::Model;
use crate::Sense;

impl Model {
    /// The model in free MPS form: an objective row `cost`, rows `r0`, `r1`, …, columns `x0`, `x1`, …, special ordered sets in a
    /// section `SOS`, the objective's constant as the negative right-hand side of `cost`.
    ///
    /// Readers of MPS disagree on how maximising is said (CBC's passes `OBJSENSE` over), so the file always minimises: the objective of
    /// a model that maximises is written negated.
    pub fn to_mps(&self) -> String {
        let mut text = String::from("NAME neuro\nROWS\n N cost\n");
        let sign = if self.sense == Sense::Maximise { -1.0 } else { 1.0 };
        for (index, row) in self.rows.iter().enumerate() {
            let kind = if row.lower == row.upper {
                'E'
            } else if row.upper.is_finite() {
                'L'
            } else if row.lower.is_finite() {
                'G'
            } else {
                'N'
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, " {kind} r{index}");
        }
        text.push_str("COLUMNS\n");
        let mut columns: Vec<Vec<(String, f64)>> = vec![Vec::new(); self.variables.len()];
        for (variable, a) in &self.objective.terms {
            columns[variable.0].push(("cost".to_owned(), sign * a));
        }
        for (index, row) in self.rows.iter().enumerate() {
            for (variable, a) in &row.terms {
                columns[variable.0].push((format!("r{index}"), *a));
            }
        }
        let mut marked = false;
        for (index, (variable, column)) in self.variables.iter().zip(&columns).enumerate() {
            if variable.integer != marked {
                let kind = if variable.integer { "INTORG" } else { "INTEND" };
                let _ = writeln!(text, "    m{index} 'MARKER' '{kind}'");
                marked = variable.integer;
            }
            if column.is_empty() {
                let _ = writeln!(text, "    x{index} cost 0");
            }
            for (row, a) in column {
                let _ = writeln!(text, "    x{index} {row} {a:?}");
            }
        }
        if marked {
            text.push_str("    end 'MARKER' 'INTEND'\n");
        }
        text.push_str("RHS\n");
        if self.objective.constant != 0.0 {
            let _ = writeln!(text, "    rhs cost {:?}", -sign * self.objective.constant);
        }
        for (index, row) in self.rows.iter().enumerate() {
            let right = if row.upper.is_finite() { row.upper } else { row.lower };
            if right.is_finite() && right != 0.0 {
                let _ = writeln!(text, "    rhs r{index} {right:?}");
            }
        }
        text.push_str("RANGES\n");
        for (index, row) in self.rows.iter().enumerate() {
            if row.lower.is_finite() && row.upper.is_finite() && row.lower != row.upper {
                let _ = writeln!(text, "    rng r{index} {:?}", row.upper - row.lower);
            }
        }
        text.push_str("BOUNDS\n");
        for (index, variable) in self.variables.iter().enumerate() {
            match (variable.lower.is_finite(), variable.upper.is_finite()) {
                (false, false) => {
                    let _ = writeln!(text, " FR bnd x{index}");
                }
                (false, true) => {
                    let _ = writeln!(text, " MI bnd x{index}\n UP bnd x{index} {:?}", variable.upper);
                }
                (true, false) => {
                    let _ = writeln!(text, " LO bnd x{index} {:?}\n PL bnd x{index}", variable.lower);
                }
                (true, true) => {
                    let _ =
                        writeln!(text, " LO bnd x{index} {:?}\n UP bnd x{index} {:?}", variable.lower, variable.upper);
                }
            }
        }
        if !self.sos1.is_empty() {
            text.push_str("SOS\n");
            for (index, set) in self.sos1.iter().enumerate() {
                let _ = writeln!(text, " S1 s{index}");
                for (weight, variable) in set.iter().enumerate() {
                    let _ = writeln!(text, "    x{} {}", variable.0, weight + 1);
                }
            }
        }
        text.push_str("ENDATA\n");
        text
    }

    /// The model in the LP form of CPLEX, with the variables' own names where these are letters, digits and underscores and begin
    /// with a letter other than e, else `x0`, `x1`, ….
    pub fn to_lp(&self) -> String {
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() && !c.eq_ignore_ascii_case(&'e'))
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let names: Vec<String> = self
            .variables
            .iter()
            .enumerate()
            .map(|(index, variable)| if plain(&variable.name) { variable.name.clone() } else { format!("x{index}") })
            .collect();
        let sum = |terms: &[(super::Variable, f64)]| {
            let mut text = String::new();
            for (variable, a) in terms {
                let sign = if *a < 0.0 { '-' } else { '+' };
                let _ = write!(text, " {sign} {:?} {}", a.abs(), names[variable.0]);
            }
            if text.is_empty() && !names.is_empty() {
                text = format!(" 0 {}", names[0]);
            }
            text
        };
        let sense = if self.sense == Sense::Maximise { "Maximize" } else { "Minimize" };
        let mut text = format!("{sense}\n cost:{}", sum(&self.objective.terms));
        if self.objective.constant != 0.0 {
            let sign = if self.objective.constant < 0.0 { '-' } else { '+' };
            let _ = write!(text, " {sign} {:?} one", self.objective.constant.abs());
        }
        text.push_str("\nSubject To\n");
        for (index, row) in self.rows.iter().enumerate() {
            let terms = sum(&row.terms);
            if row.lower == row.upper {
                let _ = writeln!(text, " r{index}:{terms} = {:?}", row.lower);
                continue;
            }
            if row.upper.is_finite() {
                let _ = writeln!(text, " r{index}:{terms} <= {:?}", row.upper);
            }
            if row.lower.is_finite() {
                let _ = writeln!(text, " r{index}l:{terms} >= {:?}", row.lower);
            }
        }
        text.push_str("Bounds\n");
        if self.objective.constant != 0.0 {
            text.push_str(" one = 1\n");
        }
        for (variable, name) in self.variables.iter().zip(&names) {
            let lower = if variable.lower.is_finite() { format!("{:?}", variable.lower) } else { "-inf".to_owned() };
            let upper = if variable.upper.is_finite() { format!("{:?}", variable.upper) } else { "+inf".to_owned() };
            let _ = writeln!(text, " {lower} <= {name} <= {upper}");
        }
        text.push_str("Generals\n");
        for (_, name) in self.variables.iter().zip(&names).filter(|(variable, _)| variable.integer) {
            let _ = writeln!(text, " {name}");
        }
        if !self.sos1.is_empty() {
            text.push_str("SOS\n");
            for (index, set) in self.sos1.iter().enumerate() {
                let _ = write!(text, " s{index}: S1 ::");
                for (weight, variable) in set.iter().enumerate() {
                    let _ = write!(text, " {}:{}", names[variable.0], weight + 1);
                }
                text.push('\n');
            }
        }
        text.push_str("End\n");
        text
    }
}
