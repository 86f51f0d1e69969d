//! How what belongs to us is named and found again: by label, never by name.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Who manages an object: [`TOOL`] on everything that this crate makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The application's id.
pub const APP: &str = "app.kubernetes.io/name";
/// The object's own name, by which a Deployment finds its pods.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// `experiment` or `placement`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The run an object belongs to. The id whole stands in the annotation of the same name.
pub const RUN: &str = "neuro.dev/run";
/// The tenant of the run.
pub const TENANT: &str = "neuro.dev/tenant";
/// The replica of the tenant, from 0.
pub const REPLICA: &str = "neuro.dev/replica";
/// The plan an object belongs to.
pub const PLAN: &str = "neuro.dev/plan";
/// The request of the plan.
pub const REQUEST: &str = "neuro.dev/request";
/// The server of the plan.
pub const SERVER: &str = "neuro.dev/server";

/// Value of [`MANAGED_BY`], and the name under which fields are owned in server-side apply.
pub const TOOL: &str = "neuro";

/// A text as a label's value: itself where it may stand there, else what may of it and a hash, so that two texts never share one.
pub fn label_value(text: &str) -> String {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = text.len() <= 63 && text.chars().all(usable);
    if fits && ends(text.chars().next()) && ends(text.chars().last()) {
        return text.to_owned();
    }
    let kept: String = text.chars().filter(|c| usable(*c)).take(52).collect();
    let kept = kept.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let hash = short_hash(text);
    if kept.is_empty() { hash } else { format!("{kept}.{hash}") }
}

/// A name for an object that differs wherever the parts do: the prefix, a hash of the parts, the last part as far as it may stand
/// in a DNS label.
pub(crate) fn object_name(prefix: &str, parts: &[&str]) -> String {
    let hash = short_hash(&parts.join("\n"));
    let readable: String = parts.last().map_or(String::new(), |part| {
        let lower = part.to_ascii_lowercase();
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(30).collect()
    });
    format!("{prefix}-{hash}-{readable}").trim_end_matches('-').to_owned()
}

/// Ten hexadecimal digits of the SHA-256.
pub(crate) fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// A selector of objects with all these labels.
pub(crate) fn selector(labels: &[(&str, &str)]) -> String {
    let parts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(",")
}

/// The selector of everything of one run.
pub(crate) fn of_run(run_id: &str) -> String {
    selector(&[(MANAGED_BY, TOOL), (RUN, &label_value(run_id))])
}

pub(crate) fn map<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_stand_in_a_label_and_differ_where_the_texts_do() {
        assert_eq!(label_value("pairwise_a_b_n2_r20_0_0123abcd"), "pairwise_a_b_n2_r20_0_0123abcd");
        let long = "x".repeat(70);
        let texts = ["a+b", "a b", "-a", "a-", "", "+", &long, &format!("{long}y")];
        let values: Vec<String> = texts.iter().map(|text| label_value(text)).collect();
        for (i, value) in values.iter().enumerate() {
            assert!(value.len() <= 63 && !value.is_empty(), "{value}");
            assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{value}");
            assert!(value.starts_with(|c: char| c.is_ascii_alphanumeric()), "{value}");
            assert!(value.ends_with(|c: char| c.is_ascii_alphanumeric()), "{value}");
            assert!(!values[..i].contains(value), "{value}");
        }
    }

    #[test]
    fn names_are_dns_labels() {
        let name = object_name("neuro", &["pairwise_Kalman+x", "t0", "Kalman-GRU_of.all+things-and-more-than-thirty"]);
        assert!(name.len() <= 63 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert_ne!(object_name("neuro", &["a", "bc"]), object_name("neuro", &["ab", "c"]));
    }
}
