#!/bin/sh
# Installs what the build needs from the system: a C compiler, pkg-config and the CBC solver's library. Does nothing where
# they are there. Without the right to install it prints the command and ends with an error.
set -eu

have() { command -v "$1" >/dev/null 2>&1; }

if ! have cargo; then
    echo "cargo is missing: install Rust 1.89 or newer first, see https://www.rust-lang.org/tools/install" >&2
    exit 1
fi
if have cc && have pkg-config && pkg-config --atleast-version=2.10 cbc; then
    exit 0
fi

if have apt-get; then
    packages="build-essential pkg-config coinor-libcbc-dev"
    install="apt-get update && apt-get install -y --no-install-recommends $packages"
    if [ "$(id -u)" = 0 ]; then
        as=""
    elif have sudo && sudo -n true 2>/dev/null; then
        as="sudo"
    elif have sudo && [ -t 0 ]; then
        as="sudo"
    else
        echo "Some system packages are missing, and this user may not install them. Run:" >&2
        echo "    sudo sh -c '$install'" >&2
        exit 1
    fi
    echo "installing: $packages" >&2
    $as env DEBIAN_FRONTEND=noninteractive sh -c "$install" >&2
elif have brew; then
    echo "Some packages are missing. Run:" >&2
    echo "    brew install cbc pkgconf" >&2
    exit 1
elif have dnf; then
    echo "Some packages are missing. Run:" >&2
    echo "    sudo dnf install -y gcc pkgconf coin-or-Cbc-devel" >&2
    exit 1
else
    echo "Install a C compiler, pkg-config and the CBC library 2.10 or newer with its headers, then try again." >&2
    exit 1
fi
