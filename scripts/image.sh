#!/bin/sh
# An OCI image that holds the static `neuro-app` alone: all applications, no shell, no library, not root.
#
#   scripts/image.sh build    with whichever of podman, buildah and docker is there, as $IMAGE
#   scripts/image.sh tar      without any of them, into target/image/neuro-app.tar
#
# The archive is an OCI layout with a manifest for `docker load` beside it; the same binary gives the same archive.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
image=${IMAGE:-neuro-app:$version}
triple=$(rustc -vV | sed -n 's/^host: //p')
out=target/image

case $triple in
x86_64-*-linux-*) arch=amd64 ;;
aarch64-*-linux-*) arch=arm64 ;;
*)
    echo "An image needs a Linux binary; this host is $triple. Run this on Linux." >&2
    exit 1
    ;;
esac

# Naming the target keeps build scripts and macros, which run here, out of the static linking.
RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=true \
    cargo build --release --target "$triple" --package neuro-apps --bin neuro-app
rm -rf "$out"
mkdir -p "$out/context"
install -m 0755 "target/$triple/release/neuro-app" "$out/context/neuro-app"

build() {
    for tool in podman buildah docker; do
        # A client without its engine is no help.
        if command -v "$tool" >/dev/null 2>&1 && "$tool" info >/dev/null 2>&1; then
            "$tool" build --tag "$image" --file neuro-apps/image/Containerfile "$out/context"
            echo "built $image with $tool"
            return
        fi
    done
    echo "None of podman, buildah and docker works here. 'make image-tar' needs none of them." >&2
    exit 1
}

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Moves a file to where its contents place it and prints its descriptor.
blob() {
    name=$(digest "$2")
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$1" "$name" "$(wc -c <"$2" | tr -d ' ')"
    mv "$2" "$layout/blobs/sha256/$name"
}

archive() {
    layout=$out/layout
    mkdir -p "$layout/blobs/sha256"
    reproducible="--format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner"
    # shellcheck disable=SC2086 # a list of options
    tar $reproducible -C "$out/context" -cf "$out/layer.tar" neuro-app
    diff_id=$(digest "$out/layer.tar")
    gzip -n "$out/layer.tar"
    layer_name=$(digest "$out/layer.tar.gz")
    layer=$(blob application/vnd.oci.image.layer.v1.tar+gzip "$out/layer.tar.gz")
    cat >"$out/config.json" <<EOF
{"architecture":"$arch","os":"linux","config":{"User":"65532:65532","Entrypoint":["/neuro-app"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:$diff_id"]},"history":[{"created_by":"scripts/image.sh"}]}
EOF
    config_name=$(digest "$out/config.json")
    config=$(blob application/vnd.oci.image.config.v1+json "$out/config.json")
    cat >"$out/manifest.json" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":$config,"layers":[$layer]}
EOF
    manifest=$(blob application/vnd.oci.image.manifest.v1+json "$out/manifest.json")
    annotations="\"annotations\":{\"org.opencontainers.image.ref.name\":\"${image##*:}\",\"io.containerd.image.name\":\"docker.io/library/$image\"}"
    echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[${manifest%\}},$annotations}]}" >"$layout/index.json"
    echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    echo "[{\"Config\":\"blobs/sha256/$config_name\",\"RepoTags\":[\"$image\"],\"Layers\":[\"blobs/sha256/$layer_name\"]}]" >"$layout/manifest.json"
    # shellcheck disable=SC2086
    tar $reproducible -C "$layout" -cf "$out/neuro-app.tar" blobs index.json manifest.json oci-layout
    rm -r "$layout"
    echo "wrote $out/neuro-app.tar ($image): podman load, docker load, ctr image import or kind load image-archive reads it"
}

case ${1:-} in
build) build ;;
tar) archive ;;
*)
    echo "usage: scripts/image.sh build|tar" >&2
    exit 2
    ;;
esac
