/// A linear scale from data to pixels.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Maps `low` to the pixel `from` and `high` to the pixel `to`.
    pub(super) fn new((low, high): (f64, f64), from: f64, to: f64) -> Self {
        Self { low, high, from, to }
    }

    pub(super) fn pixel(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` round values inside the scale, with their labels; `whole` numbers only, if so.
    pub(super) fn ticks(&self, count: usize, whole: bool) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let rough = if whole { rough.max(1.0) } else { rough };
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|x| x * power).find(|step| *step >= rough);
        let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else {
            return Vec::new();
        };
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last)
            .take(2 * count + 2)
            .map(|k| (k as f64 * step, format!("{:.decimals$}", k as f64 * step)))
            .collect()
    }
}

/// The least and the largest finite value, or `None` if there is none.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|x| x.is_finite()).fold(None, |extent, x| match extent {
        None => Some((x, x)),
        Some((low, high)) => Some((x.min(low), x.max(high))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        Scale::new((low, high), 0.0, 1.0).ticks(4, false).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(0.0, 20.0), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(0.13, 0.41), ["0.2", "0.3", "0.4"]);
        assert_eq!(labels(-3.0, 4.0), ["-2", "0", "2", "4"]);
        assert_eq!(labels(980.0, 1_030.0), ["980", "1000", "1020"]);
        let whole = Scale::new((0.9, 3.1), 0.0, 1.0).ticks(4, true);
        assert_eq!(whole.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(labels(f64::NAN, 1.0).is_empty());
        assert!(labels(1.0, 1.0).is_empty());
    }

    #[test]
    fn extents_skip_what_is_no_number() {
        assert_eq!(extent([f64::NAN, 2.0, f64::INFINITY, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }

    #[test]
    fn pixels_may_run_backwards() {
        let scale = Scale::new((10.0, 20.0), 100.0, 0.0);
        assert_eq!((scale.pixel(10.0), scale.pixel(12.5), scale.pixel(20.0)), (100.0, 75.0, 0.0));
    }
}
