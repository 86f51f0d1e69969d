use std::collections::BTreeMap;
use std::path::Path;

use super::json;
use crate::Result;

/// Reads `baselines.json`: the mean service time in seconds of each application alone.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io), [`Error::Json`](crate::Error::Json), or [`Error::Key`](crate::Error::Key) for a time that
/// is no number above 0.
pub fn read_baselines(path: &Path) -> Result<BTreeMap<String, f64>> {
    let mut baselines = BTreeMap::new();
    for (app, value) in json::read_object(path)? {
        let seconds = value.as_f64();
        let Some(seconds) = seconds.filter(|seconds| is_time(*seconds)) else {
            return Err(json::refuse(path, app, format!("must be a number of seconds above 0, but is {value}")));
        };
        baselines.insert(app, seconds);
    }
    Ok(baselines)
}

/// Writes `baselines.json`.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io), or [`Error::Key`](crate::Error::Key) for a time that is not finite and above 0: nothing is
/// written then.
pub fn write_baselines(path: &Path, baselines: &BTreeMap<String, f64>) -> Result<()> {
    if let Some((app, seconds)) = baselines.iter().find(|(_, seconds)| !is_time(**seconds)) {
        return Err(json::refuse(path, app, format!("must be a number of seconds above 0, but is {seconds}")));
    }
    json::write(path, baselines)
}

fn is_time(seconds: f64) -> bool {
    seconds.is_finite() && seconds > 0.0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn round_trip_in_the_form_of_the_prototype() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.json");
        let baselines = BTreeMap::from([("tclf-rf".to_owned(), 0.025), ("kalman-gru".to_owned(), 0.1 + 0.2)]);
        write_baselines(&path, &baselines).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\n  \"kalman-gru\": 0.30000000000000004,\n  \"tclf-rf\": 0.025\n}\n");
        assert_eq!(read_baselines(&path).unwrap(), baselines);
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.json");
        for bad in ["\"fast\"", "null", "0", "-1.5", "[1]"] {
            fs::write(&path, format!("{{\"tclf-rf\": {bad}}}")).unwrap();
            let message = read_baselines(&path).unwrap_err().to_string();
            assert!(message.contains("baselines.json: tclf-rf: ") && message.contains(bad), "{message}");
        }
        fs::remove_file(&path).unwrap();
        assert!(write_baselines(&path, &BTreeMap::from([("a".to_owned(), f64::NAN)])).is_err());
        assert!(!path.exists());
    }
}
