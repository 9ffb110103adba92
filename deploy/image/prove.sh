#!/usr/bin/env bash
# Builds the image with buildah and proves it, with no container service and no image registry: every line of the
# Dockerfile runs, then the image's own entry point runs as its own user on a read-only root and answers /healthz.
#
# What differs from `docker build .`: the base is made here, by debootstrap, from the Debian packages of this machine's
# release (so its Python is Debian's, not that of python:3.12-slim), and the proof runs in a chroot, without
# namespaces, resource limits or the image's own network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "$(id -u)" != 0 ]; then echo "image: needs root for chroot and mounts" >&2; exit 1; fi

store=${DHPE_IMAGE_STORE:-/var/tmp/dhpe-image}
work=$(mktemp -d)
service=
finish() {
    if [ -n "$service" ]; then kill "$service" 2>/dev/null || true; wait "$service" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
buildah=(buildah --storage-driver vfs --root "$store/storage" --runroot "$store/run")
mkdir -p "$store"
"${buildah[@]}" rm --all >/dev/null 2>&1 || true  # what an interrupted proof left in this store of ours

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
base=localhost/dhpe-base:$release
if ! "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    echo "image: making the base from Debian $release ..."
    mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" "Codename: $release" | head -n 1)
    debootstrap --variant=minbase --include=python3-venv,python-is-python3,ca-certificates "$release" "$work/root" "$mirror" \
        >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    rm -rf "$work/root"/var/cache/apt/* "$work/root"/var/lib/apt/lists/*
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$container" "$work/root" / >/dev/null
    "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    "${buildah[@]}" commit --quiet --rm "$container" "$base" >/dev/null
    rm -rf "$work/root"
fi

# The build sees this machine's pip configuration and certificates, as mounts: nothing of them stays in the image.
{
    echo "[global]"
    .venv/bin/python -m pip config list | sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" | grep -v '^find-links' | sort -u -k1,1
} >"$work/pip.conf"
echo "image: building ..."
started=$SECONDS
"${buildah[@]}" build --isolation chroot --format docker --layers=false --build-arg "BASE_IMAGE=$base" \
    --volume "$work/pip.conf:/etc/pip.conf:ro" --volume /etc/ssl/certs:/etc/ssl/certs:ro --tag dhpe:latest . \
    >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; exit 1; }
echo "image: built in $((SECONDS - started)) s"

"${buildah[@]}" rmi --prune >/dev/null 2>&1 || true

read_config() { "${buildah[@]}" inspect --type image --format "$1" dhpe:latest; }
mapfile -t environment < <(read_config '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | sed '/^$/d')
mapfile -t command < <(read_config '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' | sed '/^$/d')
user=$(read_config '{{.OCIv1.Config.User}}')
container=$("${buildah[@]}" from dhpe:latest)
root=$("${buildah[@]}" mount "$container")
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# In the image, as its user, with its own environment only; root read-only, only /data and /tmp writable. Every part
# replaces the one before, so that a signal to the first reaches the program.
inside=(unshare --mount --propagation private -- bash -euc '
    root=$1; user=$2; shift 2
    mount --bind "$root" "$root"; mount -o remount,ro,bind "$root"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o "uid=${user%%:*},gid=${user##*:},mode=0755" tmpfs "$root/data"
    mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
    exec chroot --userspec="$user" "$root" /usr/bin/env -i --chdir=/data "$@"
' inside "$root" "$user" "${environment[@]}" "DHPE_HTTP_PORT=$port")

"${inside[@]}" python - <deploy/image/kernels.py

echo "image: starting ${command[*]} as $user on a read-only root ..."
"${inside[@]}" "${command[@]}" >"$work/service.log" 2>&1 &
service=$!
started_ns=$(date +%s%N)
until "${inside[@]}" dhpe-healthcheck 2>"$work/health.log"; do
    if ! kill -0 "$service" 2>/dev/null || [ $(($(date +%s%N) - started_ns)) -gt 60000000000 ]; then
        cat "$work/service.log" "$work/health.log" >&2
        echo "image: the entry point did not answer /healthz" >&2
        exit 1
    fi
    sleep 0.2
done
echo "image: /healthz answered after $((($(date +%s%N) - started_ns) / 1000000)) ms:" \
    "$(.venv/bin/python -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$port/healthz').read().decode())")"
kill -TERM "$service"
status=0
wait "$service" || status=$?
service=
if [ "$status" != 0 ]; then cat "$work/service.log" >&2; echo "image: SIGTERM ended with $status, not 0" >&2; exit 1; fi
size=$(du -sm "$root/opt/dhpe" | cut -f1)
kernels=$(find "$root/opt/dhpe" -name '*.nbc' | wc -l)
"${buildah[@]}" rm "$container" >/dev/null
echo "image: SIGTERM ended it cleanly; dhpe:latest in $store/storage adds $size MB to its base, with $kernels kernels compiled in"
