use anyhow::{Result, ensure};
use neuro_data::Sla;
use neuro_data::statistics::{AppStatistics, Distribution, Statistics};

use super::canvas::{Align, Canvas, Colour, GREY, INK, LIGHT_GREY, PALETTE, TextLook, draw, fitted};
use super::scale::{Scale, extent};

const WIDTH: f64 = 720.0;
const SMALL_WIDTH: f64 = 370.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 44.0;
const ROW: f64 = 46.0;
/// Height of one box, and its distance from the next.
const BOX: f64 = 9.0;
const STEP: f64 = 12.0;

/// Mean, p75 and p95: colours of the Okabe and Ito palette.
const COLOURS: [Colour; 3] = [PALETTE[0], PALETTE[4], PALETTE[2]];

/// How mean, p75 and p95 of the service time spread over the tenants of each application: a line from the least to the
/// largest, a box between the quartiles, a mark at the median, on a logarithmic axis of seconds.
///
/// # Errors
/// No service time is known.
pub fn distributions(statistics: &Statistics) -> Result<String> {
    picture(statistics, WIDTH)
}

/// The same, small enough for a telephone.
pub(crate) fn small_distributions(statistics: &Statistics) -> Result<String> {
    picture(statistics, SMALL_WIDTH)
}

fn picture(statistics: &Statistics, width: f64) -> Result<String> {
    let apps: Vec<&AppStatistics> = statistics.apps.iter().filter(|app| app.service_s[0].is_some()).collect();
    let ends = apps.iter().flat_map(|app| app.service_s).flatten().flat_map(|d| [d.min, d.max]);
    let ends = extent(ends.filter(|seconds| *seconds > 0.0).map(f64::log10));
    ensure!(ends.is_some(), "the dataset holds no service time to draw");
    let (low, high) = ends.map_or((-3.0, 0.0), |(low, high)| (low.floor(), high.ceil().max(low.floor() + 1.0)));
    let height = TOP + ROW * apps.len() as f64 + BOTTOM;
    let axis = Scale::new((low, high), LEFT, width - RIGHT);
    Ok(draw("Service times", width, height, |canvas| {
        let title = TextLook { bold: true, ..TextLook::new(13.0) };
        canvas.text(8.0, 16.0, "Service time over the tenants of the dataset", title);
        legend(canvas);
        for power in low as i32..=high as i32 {
            let x = axis.pixel(f64::from(power));
            canvas.line(&[(x, TOP - 8.0), (x, height - BOTTOM)], 1.0, LIGHT_GREY);
            let label = if (-3..4).contains(&power) { format!("{}", 10_f64.powi(power)) } else { format!("1e{power}") };
            let look = TextLook { align: Align::Middle, colour: GREY, ..TextLook::new(12.0) };
            canvas.text(x, height - BOTTOM + 14.0, &label, look);
        }
        let look = TextLook { align: Align::Middle, ..TextLook::new(12.0) };
        canvas.text((LEFT + width - RIGHT) / 2.0, height - 12.0, "seconds", look);
        for (row, app) in apps.iter().enumerate() {
            let middle = TOP + ROW * (row as f64 + 0.5);
            let look = TextLook { align: Align::Right, ..TextLook::new(12.0) };
            canvas.text(LEFT - 10.0, middle, &fitted(&app.app, 12.0, LEFT - 14.0), look);
            for (i, distribution) in app.service_s.iter().enumerate() {
                let Some(d) = distribution else { continue };
                let tip = format!(
                    "{}, {}: least {:.3e}, quartiles {:.3e}, {:.3e}, {:.3e}, most {:.3e} s",
                    app.app,
                    Sla::ALL[i].name(),
                    d.min,
                    d.p25,
                    d.p50,
                    d.p75,
                    d.max
                );
                let y = middle + STEP * (i as f64 - 1.0);
                canvas.mark(&tip, |canvas| spread(canvas, &axis, d, y, COLOURS[i]));
            }
        }
    }))
}

fn legend(canvas: &mut Canvas) {
    for (i, (sla, colour)) in Sla::ALL.into_iter().zip(COLOURS).enumerate() {
        let x = LEFT + 70.0 * i as f64;
        canvas.rectangle(x, 40.0 - BOX / 2.0, 14.0, BOX, colour);
        canvas.text(x + 20.0, 40.0, sla.name(), TextLook::new(12.0));
    }
}

fn spread(canvas: &mut Canvas, axis: &Scale, d: &Distribution, y: f64, colour: Colour) {
    // What takes no time lies at the left end.
    let pixel = |seconds: f64| axis.pixel(seconds.log10().max(axis.low));
    canvas.line(&[(pixel(d.min), y), (pixel(d.max), y)], 1.4, colour);
    let (from, to) = (pixel(d.p25), pixel(d.p75));
    canvas.rectangle(from, y - BOX / 2.0, (to - from).max(1.5), BOX, colour);
    let median = pixel(d.p50);
    canvas.line(&[(median, y - BOX / 2.0), (median, y + BOX / 2.0)], 2.0, INK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::well_formed::texts;

    fn statistics(min: f64) -> Statistics {
        let distribution = Distribution { min, p25: 0.02, p50: 0.05, p75: 0.1, p95: 1.0, max: 2.0 };
        let app = AppStatistics {
            app: "tclf<rf>".to_owned(),
            tenants: 2,
            starved: 0,
            unstable: 0,
            samples: 10,
            instances: (1.0, 2.0),
            rate: (1.0, 2.0),
            service_s: [Some(distribution); 3],
        };
        let unmeasured = AppStatistics { app: "starved".to_owned(), service_s: [None; 3], ..app.clone() };
        Statistics {
            runs: Default::default(),
            servers: Vec::new(),
            apps: vec![app, unmeasured],
            normalisation: neuro_data::statistics::Normalisation {
                instances: 16.0,
                rate: 10.0,
                targets_s: Default::default(),
                counters: Default::default(),
            },
            noise_floor: Vec::new(),
        }
    }

    #[test]
    fn a_measured_application_has_a_row_and_an_unmeasured_one_has_none() {
        let svg = distributions(&statistics(0.01)).unwrap();
        let texts = texts(&svg).unwrap();
        for label in ["tclf<rf>", "0.01", "10", "seconds", "p95"] {
            assert!(texts.iter().any(|text| text == label), "{label}: {texts:?}");
        }
        assert!(!texts.iter().any(|text| text == "starved"));
    }

    #[test]
    fn nothing_to_draw_is_told_and_no_time_at_all_is_drawn() {
        let mut nothing = statistics(0.01);
        nothing.apps.remove(0);
        assert!(distributions(&nothing).is_err());
        texts(&distributions(&statistics(0.0)).unwrap()).unwrap();
    }
}
