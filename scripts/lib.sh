# shellcheck shell=bash
# What the scripts share; sourced, never run. The rules for finding programs are those of crates/embedded
# (src/programs): change both together.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}

NATS_NEEDED=2.14
POSTGRES_NEEDED=15
NODE_NEEDED=20.19

# Where setup puts what the machine lacks, outside the work tree.
USER_CACHE=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/mcp-status-sync
# PostgreSQL does not run as root, and whom it runs as cannot look into root's home.
ROOT_CACHE=/var/cache/mcp-status-sync

# Progress and errors go to standard error; standard output is for results.
say() { printf '%s\n' "$*" >&2; }
die() {
    say "${0##*/}: $*"
    exit 1
}

# Prints the calling script's header comment, its manual.
usage() {
    sed -n '2,/^[^#]/ { /^[^#]/q; s/^# \{0,1\}//; p; }' "$0"
}

is_root() { [[ $(id -u) -eq 0 ]]; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least VERSION NEEDED
at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# The user PostgreSQL runs as; empty when that is ourselves.
server_user() {
    is_root || return 0
    if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# The first version in what a program says of itself, run as the user given (or ourselves when empty).
# version_of USER PROGRAM
version_of() {
    local run=() text
    if [[ -n $1 ]]; then
        run=(setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups --)
    fi
    text=$(cd / && "${run[@]}" "$2" --version 2>/dev/null) || return 1
    # "nats-server: v2.15.1", "postgres (PostgreSQL) 15.18 (Debian …)", "postgres (PostgreSQL) 19beta1"
    [[ $text =~ [[:space:]]v?([0-9]+(\.[0-9]+)*) ]] || return 1
    printf '%s\n' "${BASH_REMATCH[1]}"
}

# The version folders of a program in the caches, newest first in each. cached PROGRAM
cached() {
    local cache
    for cache in "$USER_CACHE" "$ROOT_CACHE"; do
        if [[ $cache == "$ROOT_CACHE" ]] && ! is_root; then continue; fi
        [[ -d $cache/$1 ]] || continue
        find "$cache/$1" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort -rV
    done
}

# The places of a program in PATH, in order. (`type -aP` also answers with what is not executable: a --version tells.)
on_path() { type -aP "$1" || true; }

# Prints "VERSION PATH" of the nats-server that will be used; fails when there is none new enough.
find_nats() {
    local candidates=() program version
    if [[ -n ${MCP_STATUS_NATS_SERVER:-} ]]; then
        candidates=("$MCP_STATUS_NATS_SERVER")
    else
        mapfile -t candidates < <(cached nats-server | sed 's|$|/nats-server|'; on_path nats-server)
    fi
    for program in "${candidates[@]}"; do
        version=$(version_of '' "$program") || continue
        if at_least "$version" "$NATS_NEEDED"; then
            printf '%s %s\n' "$version" "$program"
            return 0
        fi
    done
    return 1
}

# Prints "VERSION FOLDER" of the PostgreSQL that will be used; fails when there is none new enough.
find_postgres() {
    local candidates=() folder version user
    user=$(server_user)
    if [[ -n ${MCP_STATUS_POSTGRES_BIN:-} ]]; then
        candidates=("$MCP_STATUS_POSTGRES_BIN")
    else
        mapfile -t candidates < <(
            cached postgresql | sed 's|$|/bin|'
            # May be a link to the program alone; its neighbours stand where it leads.
            on_path postgres | while read -r program; do dirname "$(readlink -f "$program")"; done
            find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' 2>/dev/null | sort -rV | sed 's|$|/bin|'
        )
    fi
    for folder in "${candidates[@]}"; do
        version_of "$user" "$folder/initdb" >/dev/null || continue
        version=$(version_of "$user" "$folder/postgres") || continue
        if at_least "$version" "$POSTGRES_NEEDED"; then
            printf '%s %s\n' "$version" "$folder"
            return 0
        fi
    done
    return 1
}

# Prints "VERSION PATH" of the library that tests verify webhooks' signatures with, a Python wheel
# (crates/notifier/tests/webhooks/verify.rs looks there).
VERIFIER_VERSION=1.1.0
find_verifier() {
    local wheel=$USER_CACHE/standardwebhooks/$VERIFIER_VERSION/standardwebhooks-$VERIFIER_VERSION-py3-none-any.whl
    [[ -f $wheel ]] && have python3 && printf '%s %s\n' "$VERIFIER_VERSION" "$wheel"
}

# Prints "VERSION PATH" of the Node that the web is built and tested with; fails when there is none new enough.
find_node() {
    local program version
    while read -r program; do
        # Node's own word for its version has no name before it.
        version=$("$program" --version 2>/dev/null) && version=${version#v} || continue
        if at_least "$version" "$NODE_NEEDED"; then
            printf '%s %s\n' "$version" "$program"
            return 0
        fi
    done < <(on_path node; cached node | sed 's|$|/bin/node|')
    return 1
}

# Says why the web cannot be built here; fails when it can.
without_node() {
    if ! find_node >/dev/null; then
        echo "Node $NODE_NEEDED or newer was not found: scripts/setup obtains it where npm is installed"
    elif ! have npm; then
        echo "npm was not found: install it (on Debian: apt-get install npm)"
    else
        return 1
    fi
}

# Prints "VERSION PATH" of the browser that tests use (crates/notifier/tests/it/browser.rs looks for the same names).
find_browser() {
    local name program version
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        program=$(command -v "$name") || continue
        version=$(version_of '' "$program") || continue
        printf '%s %s\n' "$version" "$program"
        return 0
    done
    return 1
}

# Installs Debian packages. apt_install WHY PACKAGE…
apt_install() {
    local why=$1
    shift
    say "installing $* $why"
    # RUNLEVEL=1: a package's service is not wanted, only its programs.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c \
        'apt-get -qq update && apt-get -qq -y --no-install-recommends install "$@"' sh "$@" </dev/null >&2 ||
        die "apt-get could not install $*"
}

can_apt() { is_root && have apt-get; }

need_cargo() {
    have cargo || die "cargo was not found: install Rust 1.95 or newer (rustup is the usual way)"
    # aws-lc-rs and others compile C.
    have cc || die "no C compiler was found: install gcc or clang (on Debian: apt-get install gcc libc6-dev)"
}

# Runs one step of a longer script under a title, telling how long it took. step TITLE COMMAND…
step() {
    local title=$1 began=$SECONDS
    shift
    say "── $title"
    "$@" || {
        say "── $title: FAILED after $((SECONDS - began)) s"
        return 1
    }
    say "── $title: ok ($((SECONDS - began)) s)"
}

# Builds the tool that runs a command with private servers around it, and sets SERVE to it.
build_serve() {
    (cd "$ROOT" && cargo build --quiet -p embedded --bin embedded-serve)
    # shellcheck disable=SC2034 # used by the scripts that source this file
    SERVE=$TARGET/debug/embedded-serve
}
