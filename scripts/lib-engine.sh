# shellcheck shell=bash
# Finds a Docker engine and Compose, or runs an engine for the time of a script. Sourced after lib.sh.

# Where an engine of ours keeps its images from one run to the next.
ENGINE_CACHE=/var/cache/mcp-status-sync/docker
ENGINE_PID=
COMPOSE=()

# Sets DOCKER to the client and COMPOSE to the command; installs what is missing and starts an engine if INSTALL is set.
find_engine() {
    DOCKER=$(find_client) || DOCKER=
    if [[ -n ${INSTALL:-} ]] && ! { engine_runs && find_compose; } && ! { have dockerd && have docker-compose; }; then
        can_apt || die "a Docker engine can only be installed by root, with apt-get"
        apt_install "as the engine" docker.io docker-compose iptables
        DOCKER=$(find_client) || DOCKER=
    fi
    [[ -n $DOCKER ]] || die "no docker client was found that can build with BuildKit: install Docker, or give --install"
    if ! engine_runs; then
        [[ -n ${INSTALL:-} ]] || die "no Docker engine answers: start one, or give --install"
        start_engine
    fi
    find_compose || die "Docker Compose was not found: install it, or give --install"
    say "engine $(docker version -f '{{.Server.Version}}'), Compose $("${COMPOSE[@]}" version --short)"
}

find_compose() {
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=("$DOCKER" compose)
    elif have docker-compose; then
        COMPOSE=(docker-compose)
    else
        return 1
    fi
}

docker() { command "$DOCKER" "$@"; }

# A client whose BuildKit works: it has buildx, or is old enough to need none.
find_client() {
    local client major
    for client in $(type -aP docker); do
        if "$client" buildx version >/dev/null 2>&1; then echo "$client"; return 0; fi
        # "Docker version 20.10.24+dfsg1, build 297e128"
        major=$(version_of '' "$client") || continue
        if [[ ${major%%.*} -lt 23 ]]; then echo "$client"; return 0; fi
    done
    return 1
}

engine_runs() { [[ -n $DOCKER ]] && docker version -f '{{.Server.Version}}' >/dev/null 2>&1; }

start_engine() {
    is_root || die "only root can start a Docker engine"
    have dockerd || die "dockerd was not found: give --install"
    mkdir -p "$ENGINE_CACHE"
    export DOCKER_HOST=unix://$SCRATCH/docker.sock
    dockerd --host "$DOCKER_HOST" --data-root "$ENGINE_CACHE" --exec-root "$SCRATCH/docker" \
        --pidfile "$SCRATCH/dockerd.pid" >"$SCRATCH/dockerd.log" 2>&1 &
    ENGINE_PID=$!
    local deadline=$((SECONDS + 60))
    until engine_runs; do
        kill -0 "$ENGINE_PID" 2>/dev/null && [[ $SECONDS -lt $deadline ]] || {
            tail -n 20 "$SCRATCH/dockerd.log" >&2
            die "the Docker engine did not start"
        }
        sleep 0.2
    done
}

# Ends the engine that start_engine started.
stop_engine() {
    if [[ -n $ENGINE_PID ]]; then
        kill -TERM "$ENGINE_PID" 2>/dev/null && wait "$ENGINE_PID" 2>/dev/null
        ENGINE_PID=
    fi
    return 0
}

# Whether images can be had from a registry. can_pull IMAGE
can_pull() { have_real "$1" || timeout 30 "$DOCKER" pull --quiet "$1" >/dev/null 2>&1; }

# Whether it is here, and no stand-in. have_real IMAGE
have_real() {
    [[ $(docker image inspect -f '{{index .Config.Labels "mcp-status.stand-in"}}' "$1" 2>/dev/null) == "" ]] &&
        docker image inspect "$1" >/dev/null 2>&1
}
