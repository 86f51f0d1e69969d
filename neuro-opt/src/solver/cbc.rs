//! COIN-OR Branch and Cut, through the system's library.

/// The version of the CBC library that is linked, such as `2.10.8`.
///
/// ```
/// assert!(neuro_opt::solver::cbc::version().starts_with("2."));
/// ```
pub fn version() -> &'static str {
    coin_cbc::raw::Model::version()
}

#[cfg(test)]
mod tests {
    use coin_cbc::{Model, Sense, raw};

    #[test]
    fn the_version_is_one_that_the_build_script_accepts() {
        let (major, minor, _) = coin_cbc::libcbc_version();
        assert!((major, minor) >= (2, 10), "{}", super::version());
    }

    /// A knapsack solved by the library that is linked, against all eight subsets.
    #[test]
    fn solves_a_knapsack_like_brute_force() {
        let (values, weights, capacity) = ([60.0, 100.0, 120.0], [10.0, 20.0, 30.0], 50.0);
        let best = (0..8_u32)
            .map(|subset| (0..3).filter(move |item| subset >> item & 1 == 1))
            .filter(|items| items.clone().map(|item| weights[item]).sum::<f64>() <= capacity)
            .map(|items| items.map(|item| values[item]).sum::<f64>())
            .fold(0.0, f64::max);

        let mut model = Model::default();
        model.set_parameter("logLevel", "0");
        model.set_obj_sense(Sense::Maximize);
        let row = model.add_row();
        model.set_row_upper(row, capacity);
        let columns: Vec<_> = values
            .iter()
            .zip(weights)
            .map(|(value, weight)| {
                let column = model.add_binary();
                model.set_obj_coeff(column, *value);
                model.set_weight(row, column, weight);
                column
            })
            .collect();
        let solution = model.solve();
        assert_eq!(solution.raw().status(), raw::Status::Finished);
        assert!(solution.raw().is_proven_optimal());
        assert!((solution.raw().obj_value() - best).abs() < 1e-9);
        let chosen: Vec<f64> = columns.iter().map(|column| solution.col(*column).round()).collect();
        assert_eq!(chosen, [0.0, 1.0, 1.0]);
    }
}
