/// Wilson's 95 % interval of the share `hits` / `of`, from 0 to 1, as if each of them were independent; `None` of nothing.
///
/// # References
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", *Journal of the American Statistical
/// Association* 22(158), 1927, doi:10.1080/01621459.1927.10502953.
///
/// # Example
///
/// ```
/// let (low, high) = neuro_cli::wilson(5.0, 100.0).unwrap();
/// assert!((low - 0.0215).abs() < 1e-4 && (high - 0.1118).abs() < 1e-4);
/// ```
pub fn wilson(hits: f64, of: f64) -> Option<(f64, f64)> {
    const Z: f64 = 1.96;
    if of <= 0.0 {
        return None;
    }
    let (share, square) = (hits / of, Z * Z / of);
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = Z * (share * (1.0 - share) / of + square / of / 4.0).sqrt() / (1.0 + square);
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::wilson;

    #[test]
    fn shares_have_wilson_s_interval() {
        // Of Wilson's formula by hand: 5 of 100, z = 1.96.
        let (low, high) = wilson(5.0, 100.0).unwrap();
        assert!((low - 0.021_54).abs() < 1e-5 && (high - 0.111_75).abs() < 1e-5, "{low} {high}");
        assert_eq!(wilson(0.0, 10.0).unwrap().0, 0.0);
        assert_eq!(wilson(10.0, 10.0).unwrap().1, 1.0);
        assert_eq!(wilson(0.0, 0.0), None);
    }
}
