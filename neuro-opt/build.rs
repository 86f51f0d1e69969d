//! With the feature `cbc`, asks pkg-config for CBC 2.10 or newer and stops with one line that says what to install, before
//! the linker would stop with many that do not.

use std::env;
use std::process::Command;

const LEAST_VERSION: &str = "2.10";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let documentation_only = env::var_os("DOCS_RS").is_some();
    if env::var_os("CARGO_FEATURE_CBC").is_none() || documentation_only {
        return;
    }
    if let Some(problem) = missing() {
        println!(
            "cargo::error=neuro-opt needs the CBC solver, {LEAST_VERSION} or newer: {problem}. Install it: Debian or Ubuntu \
             `apt-get install coinor-libcbc-dev pkg-config`, Fedora `dnf install coin-or-Cbc-devel pkgconf`, macOS \
             `brew install cbc pkgconf`; or build without it: `--no-default-features`"
        );
    }
}

/// What is missing, or `None` if CBC is there.
fn missing() -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let ask = |argument: &str| Command::new(&program).args([argument, "cbc"]).output();
    match ask(&format!("--atleast-version={LEAST_VERSION}")) {
        Ok(answer) if answer.status.success() => None,
        Ok(_) => Some(match ask("--modversion") {
            Ok(found) if found.status.success() => {
                format!("found {}", String::from_utf8_lossy(&found.stdout).trim())
            }
            _ => "pkg-config does not find `cbc`".to_owned(),
        }),
        Err(error) => Some(format!("cannot run `{}` ({error})", program.to_string_lossy())),
    }
}
