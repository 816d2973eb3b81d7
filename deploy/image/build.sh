#!/usr/bin/env bash
# Builds the image from the Dockerfile without a Docker engine or any daemon: buildah, as root, with chroot isolation
# and the vfs storage driver, which also works inside containers and virtual machines.
#
#   apt-get install buildah debootstrap
#   deploy/image/build.sh                    the base image is made here, from Debian's packages
#   BASE=python:3.11-slim-bookworm deploy/image/build.sh    the base image comes from its registry
#
# What the first way is not: the official Python image. It is a minimal Debian 12 with Debian's Python 3.11, as of the
# last point release (no security updates since), for machines that reach no image registry. Chroot isolation is weaker
# than a container's: build what you trust. Neither base is pinned by digest; all Python packages are, by hash.
#
# Environment: IMAGE (default akin), BASE, MIRROR (of Debian; default debootstrap's own), STORAGE (folder of the images;
# default buildah's own), CA_BUNDLE (certificates that pip trusts while it builds; default this machine's).
set -euo pipefail
cd "$(dirname "$0")/../.."

IMAGE=${IMAGE:-akin}
BASE=${BASE:-}
MIRROR=${MIRROR:-}
STORAGE=${STORAGE:-}
CA_BUNDLE=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
MADE_BASE=localhost/akin-base

if [ "$(id -u)" != 0 ]; then
    echo "build.sh: needs root, for debootstrap and for buildah's chroot isolation" >&2
    exit 2
fi

scratch=$(mktemp -d)
container=
b() {
    buildah --storage-driver vfs ${STORAGE:+--root "$STORAGE" --runroot "$STORAGE.run"} "$@"
}
cleanup() {
    [ -z "$container" ] || b rm "$container" >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap cleanup EXIT

make_base() {
    local root
    container=akin-base-$$ # known before it exists, so that it is removed whenever this ends
    b from --name "$container" scratch >/dev/null
    root=$(b mount "$container")
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" \
        ${MIRROR:+"$MIRROR"} >"$scratch/debootstrap.log" 2>&1 \
        || { tail -20 "$scratch/debootstrap.log" >&2; return 1; }
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/etc/hostname \
        "$root"/etc/resolv.conf
    b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
    b umount "$container" >/dev/null
    b commit --quiet --rm "$container" "$MADE_BASE" >/dev/null
    container=
}

# pip's own configuration on this machine, wherever it stands, becomes one file that only the build sees.
pip_configuration() {
    echo "[global]"
    local names='index-url|extra-index-url|trusted-host|proxy|timeout|default-timeout'
    python3 -m pip config list 2>/dev/null \
        | sed -nE "s/^(:env:|global|install)\.($names)='(.*)'$/\2 = \3/p" \
        | sed 's/^default-timeout/timeout/' | awk -F ' = ' '!seen[$1]++'
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
}

if [ -z "$BASE" ]; then
    BASE=$MADE_BASE
    if b inspect --type image "$MADE_BASE" >/dev/null 2>&1; then
        echo "base: $MADE_BASE, made before; 'buildah rmi $MADE_BASE' to make it anew"
    else
        started=$SECONDS
        make_base
        echo "base: $MADE_BASE, made by debootstrap from Debian's packages in $((SECONDS - started)) s"
    fi
else
    echo "base: $BASE"
fi

# Debian 12 has no Node.js that can build the console, so that this machine's does it, if there is one.
if command -v npm >/dev/null; then
    (cd console && npm ci --silent --no-audit --no-fund && npm run --silent build)
    echo "console: built with Node.js $(node --version) of this machine"
elif [ -e service/console/static/index.html ]; then
    echo "console: the one in service/console/static"
else
    mkdir -p service/console/static
    echo "console: none, because this machine has no npm"
fi

pip_configuration >"$scratch/pip.conf"
started=$SECONDS
# The docker format keeps the health check, which the OCI format has no place for.
b build --isolation chroot --format docker --build-arg "BASE=$BASE" \
    --build-arg CONSOLE=console-given --secret "id=pip,src=$scratch/pip.conf" \
    --volume "$CA_BUNDLE:/etc/ssl/certs/ca-certificates.crt:ro" --tag "$IMAGE" .
echo "image: $IMAGE, built in $((SECONDS - started)) s"
b images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$IMAGE"
