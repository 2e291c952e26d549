# shellcheck shell=bash
# shellcheck disable=SC2153 # ROOT is lib.sh's, SCRATCH the script's own
# Local stand-ins for the base images that deploy/ names, made of Debian's packages and what this machine has, for where no
# image registry can be reached. Sourced after lib.sh. Each has the name of what it stands in for, so that the
# Dockerfile and the compose file are used as they are; the label mcp-status.stand-in tells them from the real ones.

# Where this machine has its packages from.
SOURCES=/etc/apt/sources.list.d/debian.sources
if [[ ! -e $SOURCES ]]; then SOURCES=/etc/apt/sources.list; fi

# The certificates that this machine trusts, in place of Debian's own: the registries may be behind others.
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

# have_image NAME
have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Makes an image of a folder. import_image FOLDER NAME CHANGE…
import_image() {
    local folder=$1 name=$2 change changes=()
    shift 2
    for change in 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' 'LABEL mcp-status.stand-in=yes' "$@"; do
        changes+=(--change "$change")
    done
    tar -C "$folder" --numeric-owner -c . | docker import "${changes[@]}" - "$name" >/dev/null
    say "  $name"
}

# A Debian with packages, as a folder. debian_root FOLDER PACKAGE,…
debian_root() {
    have mmdebstrap || apt_install "to make base images with" mmdebstrap
    mkdir -p "$1"
    # In the mode for root, since an image's files belong to several users.
    mmdebstrap --quiet --mode=root --variant=apt --include="$2" bookworm "$1.tar" "$SOURCES" >&2 </dev/null
    tar -C "$1" -xf "$1.tar"
    rm -rf "$1.tar" "${1:?}"/var/lib/apt/lists/* "${1:?}"/var/cache/apt/*
    if [[ -d $1/etc/ssl/certs ]]; then cp "$CERTIFICATES" "$1$CERTIFICATES"; fi
}

# The bare files of packages, as a folder; nothing of theirs is run. bare_root FOLDER PACKAGE…
bare_root() {
    local folder=$1 packages
    shift
    mkdir -p "$folder" "$folder.debs"
    (cd "$folder.debs" && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2)
    for packages in "$folder.debs"/*.deb; do dpkg-deb -x "$packages" "$folder"; done
    rm -rf "$folder.debs"
    mkdir -p "$folder/etc/ssl/certs" "$folder/tmp"
    chmod 1777 "$folder/tmp"
    cp "$CERTIFICATES" "$folder$CERTIFICATES"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$folder/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$folder/etc/group"
}

# busybox, for images whose health checks use its wget. add_busybox FOLDER
add_busybox() {
    bare_root "$1.busybox" busybox-static
    install -D "$1.busybox/bin/busybox" "$1/bin/busybox"
    ln -s busybox "$1/bin/sh"
    ln -s busybox "$1/bin/wget"
    rm -rf "$1.busybox"
}

# What rust:… is to the Dockerfile: a C compiler and the toolchain that is here.
stand_in_rust() {
    local root=$1 sysroot
    sysroot=$(cd "$ROOT" && rustc --print sysroot)
    debian_root "$root" ca-certificates,gcc,g++,libc6-dev,make
    cp -a "$sysroot"/{bin,lib} "$root/usr/local/"
    import_image "$root" "$2" 'ENV CARGO_HOME=/usr/local/cargo'
}

# The Node that is here.
stand_in_node() {
    local node npm
    node=$(find_node)
    npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
    debian_root "$1" ca-certificates,libstdc++6
    install -D "$(readlink -f "${node#* }")" "$1/usr/local/bin/node"
    mkdir -p "$1/usr/local/lib/node_modules"
    cp -a "$npm" "$1/usr/local/lib/node_modules/npm"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"
    ln -s ../lib/node_modules/npm/bin/npx-cli.js "$1/usr/local/bin/npx"
    import_image "$1" "$2" "ENV NODE_EXTRA_CA_CERTS=$CERTIFICATES"
}

# What distroless/cc has.
stand_in_runtime() {
    bare_root "$1" base-files ca-certificates libc6 libgcc-s1 libstdc++6 netbase tzdata
    rm -rf "${1:?}"/usr/share/{doc,man,locale}
    import_image "$1" "$2" "ENV SSL_CERT_FILE=$CERTIFICATES" 'USER 65532' 'WORKDIR /home/nonroot'
}

stand_in_nats() {
    local nats
    "$ROOT/scripts/setup" --servers-only >/dev/null
    nats=$(find_nats)
    bare_root "$1" libc6
    add_busybox "$1"
    install -D "${nats#* }" "$1/usr/local/bin/nats-server"
    import_image "$1" "$2" 'ENTRYPOINT ["nats-server"]'
}

stand_in_proxy() {
    bare_root "$1" libc6 libzstd1 caddy
    add_busybox "$1"
    import_image "$1" "$2" 'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]' \
        'ENV XDG_CONFIG_HOME=/config' 'ENV XDG_DATA_HOME=/data'
}

stand_in_postgres() {
    debian_root "$1" postgresql-15
    # Debian's own cluster is of no use, and its user is another number's.
    rm -rf "${1:?}"/var/lib/postgresql/*
    chroot "$1" sh -c 'groupmod -g 999 postgres && usermod -u 999 -g 999 postgres' >&2
    install -d -o 999 -g 999 -m 700 "$1/var/lib/postgresql/data"
    install -d -o 999 -g 999 "$1/run/postgresql"
    # What of the real one's entry point is needed: a first start makes the cluster, its password and its database.
    cat >"$1/usr/local/bin/docker-entrypoint.sh" <<'ENTRY'
#!/bin/sh
set -eu
export PGDATA=/var/lib/postgresql/data
if ! [ -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-host=scram-sha-256 --auth-local=trust >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
    createdb --username=postgres "$POSTGRES_DB"
    pg_ctl -w stop >/dev/null
fi
exec postgres -c listen_addresses='*' "$@"
ENTRY
    chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"
    import_image "$1" "$2" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'VOLUME /var/lib/postgresql/data' \
        'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin'
}

# Makes the image NAME by a function above, unless it is there. stand_in FUNCTION NAME
stand_in() {
    local scratch
    if have_image "$2"; then return 0; fi
    scratch=$(mktemp -d "$SCRATCH/image.XXXXXX")
    "$1" "$scratch/root" "$2"
    rm -rf "$scratch"
}
