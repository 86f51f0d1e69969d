//! Any bytes as `tenant_requests.json`: no crash, and whatever is accepted is valid and stays so when it is read again.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use neuro_data::Catalogue;
use neuro_data::ingest::prototype_requests::read;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);

fuzz_target!(|text: &[u8]| {
    let path = Path::new("tenant_requests.json");
    if let Ok(requests) = read(text, path, &CATALOGUE) {
        for known in &requests.tenants {
            assert!(known.tenant.instances > 0 && known.tenant.rate.is_finite() && known.tenant.rate > 0.0);
            assert!(!known.tenant.id.contains(['/', '\\']), "an id becomes a file's name");
        }
        assert!(read(requests.json.as_bytes(), path, &CATALOGUE).is_ok_and(|again| again.tenants == requests.tenants));
    }
});
