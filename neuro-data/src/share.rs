/// Wilson's 95 % interval of the share `hits / of` of independent trials, within 0..=1; of no trials it is (0, 1).
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", *Journal of the American Statistical
/// Association* 22(158), 1927, doi:10.1080/01621459.1927.10502953.
///
/// # Example
/// ```
/// let (low, high) = neuro_data::wilson_interval(5.0, 100.0);
/// assert!((low - 0.0215).abs() < 1e-4 && (high - 0.1118).abs() < 1e-4);
/// ```
pub fn wilson_interval(hits: f64, of: f64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if of.is_nan() || of <= 0.0 {
        return (0.0, 1.0);
    }
    let (share, square) = (hits / of, Z * Z / of);
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = Z * (share * (1.0 - share) / of + square / of / 4.0).sqrt() / (1.0 + square);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::wilson_interval;

    #[test]
    fn ends_solve_wilsons_equation() {
        // At an end p, (share − p)² = z² p (1 − p) / n.
        for (hits, of) in [(1.0, 7.0), (5.0, 100.0), (90.0, 100.0), (400.0, 1000.0)] {
            let (low, high) = wilson_interval(hits, of);
            for p in [low, high] {
                let z = ((hits / of - p).powi(2) * of / (p * (1.0 - p))).sqrt();
                assert!((z - 1.96).abs() < 1e-3, "{hits} of {of}: {p} is at z = {z}");
            }
        }
    }

    #[test]
    fn intervals_stay_shares() {
        assert_eq!(wilson_interval(0.0, 10.0).0, 0.0);
        let high = wilson_interval(10.0, 10.0).1;
        assert!(high <= 1.0 && high > 1.0 - 1e-12);
        assert_eq!(wilson_interval(0.0, 0.0), (0.0, 1.0));
    }
}
