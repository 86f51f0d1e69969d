use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::json;
use crate::{Result, SigmoidFit, SigmoidParams};

/// One entry as written: the six numbers of the prototype, then what the fit says about itself.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    params: SigmoidParams,
    sigma_s: f64,
    rmse_s: f64,
    log_posterior: f64,
    converged: bool,
    converged_starts: usize,
    starts: usize,
    points: usize,
}

/// Reads `sig_params.json`: application measured → application beside it → curve. Keys beyond the six numbers are ignored.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io), [`Error::Json`](crate::Error::Json), or [`Error::Key`](crate::Error::Key) with the full key, such as
/// `tclf-rf.kalman-gru.beta2`, of what is missing or no number.
pub fn read_sig_params(path: &Path) -> Result<BTreeMap<String, BTreeMap<String, SigmoidParams>>> {
    let mut curves = BTreeMap::new();
    for (app, value) in json::read_object(path)? {
        let mut row = BTreeMap::new();
        for (neighbour, value) in object(path, &app, &value)? {
            let key = format!("{app}.{neighbour}");
            row.insert(neighbour.clone(), params(path, &key, object(path, &key, value)?)?);
        }
        curves.insert(app, row);
    }
    Ok(curves)
}

/// Writes `sig_params.json` from fits: after the six numbers of each curve come `sigma_s`, `rmse_s`, `log_posterior`,
/// `converged`, `converged_starts`, `starts` and `points` (see [`SigmoidFit`]), which readers of the six may ignore.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io), or [`Error::Key`](crate::Error::Key) for a number that is not finite: nothing is written then.
pub fn write_sig_params(path: &Path, fits: &BTreeMap<String, BTreeMap<String, SigmoidFit>>) -> Result<()> {
    let mut file: BTreeMap<&str, BTreeMap<&str, Entry>> = BTreeMap::new();
    for (app, row) in fits {
        let entries = file.entry(app).or_default();
        for (neighbour, fit) in row {
            let notes = [("sigma_s", fit.sigma_s), ("rmse_s", fit.rmse_s), ("log_posterior", fit.log_posterior)];
            let numbers = SigmoidParams::NAMES.into_iter().zip(fit.params.to_array()).chain(notes);
            for (name, number) in numbers {
                if !number.is_finite() {
                    let key = format!("{app}.{neighbour}.{name}");
                    return Err(json::refuse(path, key, format!("must be finite, but is {number}")));
                }
            }
            let entry = Entry {
                params: fit.params,
                sigma_s: fit.sigma_s,
                rmse_s: fit.rmse_s,
                log_posterior: fit.log_posterior,
                converged: fit.converged,
                converged_starts: fit.converged_starts,
                starts: fit.starts,
                points: fit.points,
            };
            entries.insert(neighbour, entry);
        }
    }
    json::write(path, &file)
}

fn object<'v>(path: &Path, key: &str, value: &'v Value) -> Result<&'v Map<String, Value>> {
    value.as_object().ok_or_else(|| json::refuse(path, key, format!("must be an object, but is {value}")))
}

fn params(path: &Path, key: &str, entry: &Map<String, Value>) -> Result<SigmoidParams> {
    let mut numbers = [0.0; 6];
    for (number, name) in numbers.iter_mut().zip(SigmoidParams::NAMES) {
        let key = || format!("{key}.{name}");
        let value = entry.get(name).ok_or_else(|| json::refuse(path, key(), "is missing"))?;
        *number =
            value.as_f64().ok_or_else(|| json::refuse(path, key(), format!("must be a number, but is {value}")))?;
    }
    Ok(SigmoidParams::from_array(numbers))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fit() -> SigmoidFit {
        SigmoidFit {
            params: SigmoidParams::from_array([0.1 + 0.2, 1e-5, 0.5, -0.25, 1.0 / 3.0, -4.0]),
            sigma_s: 0.001,
            sigma_floor_s: 1e-5,
            log_posterior: 12.5,
            converged: true,
            starts: 16,
            converged_starts: 15,
            iterations: 40,
            rmse_s: 0.0009765625,
            points: 12,
        }
    }

    /// The exact bytes of a file: other tools read it, so a change here is a change of the format.
    #[test]
    fn golden_file() {
        let golden = r#"{
  "tclf-rf": {
    "kalman-gru": {
      "alpha1": 0.30000000000000004,
      "beta1": 0.00001,
      "alpha2": 0.5,
      "beta2": -0.25,
      "alpha3": 0.3333333333333333,
      "beta3": -4.0,
      "sigma_s": 0.001,
      "rmse_s": 0.0009765625,
      "log_posterior": 12.5,
      "converged": true,
      "converged_starts": 15,
      "starts": 16,
      "points": 12
    }
  }
}
"#;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sig_params.json");
        let fits = BTreeMap::from([("tclf-rf".to_owned(), BTreeMap::from([("kalman-gru".to_owned(), fit())]))]);
        write_sig_params(&path, &fits).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), golden);
        assert_eq!(read_sig_params(&path).unwrap()["tclf-rf"]["kalman-gru"], fit().params);
    }

    #[test]
    fn reads_a_file_of_the_prototype() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sig_params.json");
        let text = r#"{"a": {"b": {"beta3": 6, "alpha1": 1, "beta1": 2.5, "alpha2": 3, "beta2": -4e-3, "alpha3": 5}}}"#;
        fs::write(&path, text).unwrap();
        let params = read_sig_params(&path).unwrap()["a"]["b"];
        assert_eq!(params.to_array(), [1.0, 2.5, 3.0, -4e-3, 5.0, 6.0]);
    }

    #[test]
    fn what_is_wrong_is_named_by_file_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sig_params.json");
        let cases = [
            (r#"{"a": {"b": {"alpha1": 1, "beta1": 2}}}"#, "a.b.alpha2: is missing"),
            (r#"{"a": {"b": {"alpha1": null}}}"#, "a.b.alpha1: must be a number, but is null"),
            (r#"{"a": {"b": 3}}"#, "a.b: must be an object, but is 3"),
            (r#"{"a": 3}"#, "a: must be an object, but is 3"),
            ("[]", "top level: must be an object"),
            ("{", "is not valid JSON"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let message = read_sig_params(&path).unwrap_err().to_string();
            assert!(message.contains("sig_params.json") && message.contains(expected), "{text}: {message}");
        }
        let missing = read_sig_params(&folder.path().join("none.json")).unwrap_err().to_string();
        assert!(missing.contains("none.json"), "{missing}");
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sig_params.json");
        let mut broken = fit();
        broken.params.beta2 = f64::NAN;
        let fits = BTreeMap::from([("a".to_owned(), BTreeMap::from([("b".to_owned(), broken)]))]);
        let message = write_sig_params(&path, &fits).unwrap_err().to_string();
        assert!(message.contains("a.b.beta2: must be finite, but is NaN"), "{message}");
        assert!(!path.exists());
    }
}
