#!/usr/bin/env bash
# Sees to it that the named programs are here: java maven chromium libatomic prometheus buildah python-venv.
# On Debian as root it installs what is missing; elsewhere it names what is missing and how to get it, and fails
# before anything else has run.
set -euo pipefail

present() {
    case $1 in
        java) [ "$(java -version 2>&1 | sed -n '1s/[^"]*"\([0-9]*\).*/\1/p')" -ge 17 ] 2>/dev/null ;;
        maven) command -v mvn ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        libatomic) /sbin/ldconfig -p | grep 'libatomic\.so\.1' ;;
        prometheus) command -v prometheus && command -v promtool ;;
        buildah) command -v buildah && command -v debootstrap ;;
        python-venv) python3 -c 'import ensurepip, venv' ;;
        *) echo "setup: unknown program $1" >&2; exit 2 ;;
    esac >/dev/null 2>&1
}

packages_of() {
    case $1 in
        java) echo default-jre-headless ;;
        libatomic) echo libatomic1 ;;
        buildah) echo buildah debootstrap ;;
        python-venv) echo python3-venv ;;
        *) echo "$1" ;;
    esac
}

purpose_of() {
    case $1 in
        java) echo "Java 17 or newer, for the real Kafka broker" ;;
        maven) echo "Maven, which fetches the broker" ;;
        chromium) echo "Chromium, for the tests of the web page" ;;
        libatomic) echo "libatomic, for Playwright, which drives Chromium" ;;
        prometheus) echo "Prometheus with promtool, for the tests of metrics and dashboards" ;;
        buildah) echo "buildah and debootstrap, to prove the container image" ;;
        python-venv) echo "Python's venv module" ;;
    esac
}

missing=()
for program in "$@"; do present "$program" || missing+=("$program"); done
[ ${#missing[@]} -gt 0 ] || exit 0

packages=()
for program in "${missing[@]}"; do read -ra found <<<"$(packages_of "$program")"; packages+=("${found[@]}"); done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    {
        echo "setup: these are missing:"
        for program in "${missing[@]}"; do echo "  $program: $(purpose_of "$program")"; done
        echo "setup: on Debian or Ubuntu: sudo apt-get install ${packages[*]}; elsewhere, your package manager has them"
    } >&2
    exit 1
fi

echo "setup: installing ${packages[*]} ..."
# Debian starts a daemon for some packages as soon as they are installed; we only want the programs.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
for attempt in 1 2 3; do
    if { apt-get update && apt-get install --yes --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        break
    fi
    if [ "$attempt" = 3 ]; then cat "$log" >&2; exit 1; fi
    sleep 2
done
for program in "${missing[@]}"; do
    present "$program" || { echo "setup: $program is still missing: $(purpose_of "$program")" >&2; exit 1; }
done
