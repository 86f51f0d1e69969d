use neuro_data::summary::quantile_of_sorted;

/// The density of a sample at `points` places from `low` to `high`, by a Gaussian kernel of Silverman's width
/// 0.9 · min(σ, IQR / 1.34) · n^(−1/5), at least `least_width`; zero everywhere of an empty sample.
///
/// # References
/// B. W. Silverman, *Density Estimation for Statistics and Data Analysis*, 1986, eq. 3.31, DOI 10.1201/9781315140919.
///
/// # Example
/// ```
/// let bell = neuro_cli::output::density(&[-1.0, 0.0, 1.0], (-4.0, 4.0), 81, 0.0);
/// let area: f64 = bell.iter().map(|(_, density)| 0.1 * density).sum();
/// assert!((area - 1.0).abs() < 1e-2);
/// ```
pub fn density(sample: &[f64], (low, high): (f64, f64), points: usize, least_width: f64) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = sample.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let places = (0..points).map(|i| low + (high - low) * i as f64 / (points.max(2) - 1) as f64);
    if sorted.is_empty() {
        return places.map(|x| (x, 0.0)).collect();
    }
    let mean = sorted.iter().sum::<f64>() / count;
    let sigma = (sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
    let quartiles = (quantile_of_sorted(&sorted, 0.75) - quantile_of_sorted(&sorted, 0.25)) / 1.34;
    let spread = if quartiles > 0.0 { sigma.min(quartiles) } else { sigma };
    let width = (0.9 * spread * count.powf(-0.2)).max(least_width).max(1e-12);
    let norm = count * width * (2.0 * std::f64::consts::PI).sqrt();
    let at = |x: f64| sorted.iter().map(|value| (-0.5 * ((x - value) / width).powi(2)).exp()).sum::<f64>() / norm;
    places.map(|x| (x, at(x))).collect()
}

#[cfg(test)]
mod tests {
    use super::density;

    #[test]
    fn one_point_is_a_bell_of_the_least_width() {
        let bell = density(&[2.0, f64::NAN], (1.0, 3.0), 3, 0.5);
        let top = 1.0 / (0.5 * (2.0 * std::f64::consts::PI).sqrt());
        assert!((bell[1].1 - top).abs() < 1e-12);
        assert!((bell[0].1 - top * (-2.0_f64).exp()).abs() < 1e-12 && bell[0].1 == bell[2].1);
        assert_eq!(density(&[], (0.0, 1.0), 2, 0.1), [(0.0, 0.0), (1.0, 0.0)]);
    }

    #[test]
    fn the_width_is_silvermans() {
        // Quartiles −1 and 1 by any definition; the outlier makes σ far larger, so the quartiles decide.
        let sample = [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 100.0];
        let width = 0.9 * (2.0 / 1.34) * 7.0_f64.powf(-0.2);
        let at_zero: f64 = sample.iter().map(|x: &f64| (-0.5 * (x / width).powi(2)).exp()).sum();
        let norm = 7.0 * width * (2.0 * std::f64::consts::PI).sqrt();
        let got = density(&sample, (0.0, 1.0), 2, 0.0)[0].1;
        assert!((got - at_zero / norm).abs() < 1e-12, "{got}");
    }
}
