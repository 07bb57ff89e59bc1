#!/usr/bin/env bash
# What the scripts here start before they measure; sourced by them from the repository's root, not run.
# shellcheck disable=SC2034,SC2119,SC2120
#
# The gateway and what it is compared with run on CPU 0, load and databases on CPU 1. Everything lies in $home, and what runs
# ends with the script.

gateway=${GATEWAY:-target/release/gateway} bench=${BENCH:-target/release/gateway-bench}
home=$(mktemp -d)
folders=("$home")
PATH="$PATH:/usr/sbin"
pids=()
stop() {
    # What is stopped has to go on before it can end.
    for pid in "${pids[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "${folders[@]}"
}
trap stop EXIT

# on CPU COMMAND...: runs it in the background; its process is $!.
on() { local cpu=$1; shift; taskset -c "$cpu" "$@" >>"$home/output" 2>&1 & pids+=($!); }
is_open() { (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# free PORT...: ends the script where somebody else has one of them, who would be measured for ours.
free() { local port; for port in "$@"; do if is_open "$port"; then echo "port $port is taken by another program; the benchmarks need it" >&2; exit 1; fi; done; }
# until_open PORT: waits for what was started last.
until_open() {
    for _ in $(seq 300); do
        is_open "$1" && return
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "port $1 stays closed; what should have opened it said:" >&2
    cat "$home/output" >&2
    exit 1
}
# serve CPU PORT COMMAND...: as `on`, and returns when the port, which nobody may have had, is open; the process is $!.
serve() { local cpu=$1 port=$2; shift 2; free "$port"; on "$cpu" "$@"; until_open "$port"; }
# cpu PID: its CPU time, in hundredths of a second.
cpu() { awk '{print $14+$15}' "/proc/$1/stat"; }
# sql ARGUMENTS...: the client of our MariaDB.
sql() { mariadb --no-defaults -S "$home/run/mysql.sock" -u root "$@"; }

# Starts MariaDB on port 13388 and fills it; its process is $mariadb_pid.
start_mariadb() {
    local user
    user=$(id -un)
    free 13388
    mkdir -p "$home"/{db,run,log}
    chmod 755 "$home"
    sed -e "s#@HOME@#$home#; s#^user=.*#user=$user#" bench/peers/sql/my.cnf >"$home/my.cnf"
    mariadb-install-db --no-defaults --user="$user" --datadir="$home/db" >"$home/install" 2>&1
    serve 1 13388 env TMPDIR="$home/run" mariadbd --defaults-file="$home/my.cnf"; mariadb_pid=$!
    sql <bench/peers/sql/schema.sql
}

# start_gateway JOURNAL_OPTIONS [AUTH_LINE [SECTION...]]: makes a key, writes the configuration and serves it on
# ports 18110 (TCP), 18111 (HTTP) and 18112 (admin); its process is $gateway_pid. The key is in GATEWAY_API_KEY. MIRROR names a
# schema that game1 has for its mirror.
start_gateway() {
    local journal=$1 auth=${2:-} key
    shift $(($# < 2 ? $# : 2))
    free 18110 18111 18112
    key=$("$gateway" key new bench --role game_server --game game1 2>"$home/key.txt")
    GATEWAY_API_KEY=$(grep -Eo 'bench\.[A-Za-z0-9_-]{43}' "$home/key.txt")
    export GATEWAY_API_KEY
    cat >"$home/gateway.yaml" <<Y
runtime: { frontend_threads: 1, backend_threads: 1, pin: false }
server: { reuse_port: true, tcp: { address: "127.0.0.1:18110", max_connections: 20000, heartbeat: 5m }, http: { address: "127.0.0.1:18111", max_connections: 20000 } }
admin: { address: "127.0.0.1:18112" }
templates: $PWD/bench/templates
database:
  connections:
    game1: { type: mysql, host: 127.0.0.1, port: 13388, username: gw, password: gwpass, database: game1, max_open_conns: 32, min_idle_conns: 8, apply_batches_max: ${APPLY_BATCHES:-4}, acquire_standing_after: ${STANDING_AFTER:-2s} }
    ${MIRROR:+$MIRROR: { type: mysql, host: 127.0.0.1, port: 13388, username: gw, password: gwpass, database: $MIRROR, max_open_conns: 32, min_idle_conns: 8 \}}
games: { game1: { id: game1, name: game1, database: game1${MIRROR:+, mirror: $MIRROR} } }
journal: { $journal }
$(printf '%s\n' "$@")
auth:
  roles: { game_server: {}, player: {} }
  $auth
  api_keys:
    ${key//$'\n'/$'\n'    }
logging: { level: error, requests: "off" }
Y
    "$gateway" migrate --config "$home/gateway.yaml" >"$home/migrate"
    on 0 "$gateway" serve --config "$home/gateway.yaml"; gateway_pid=$!
    until_open 18110; until_open 18111
}

# more_gateways COUNT: so many that share the first one's ports, each with a journal and an admin port of its own; their
# processes are added to $gateway_pids.
more_gateways() {
    local number
    gateway_pids=$gateway_pid
    for ((number = 2; number <= $1; number++)); do
        sed -e "s#$home/journal#$home/journal-$number#; s#127.0.0.1:18112#127.0.0.1:$((18200 + number))#" \
            -e "s#^runtime: {#runtime: { node: $number,#" "$home/gateway.yaml" >"$home/gateway-$number.yaml"
        serve 0 $((18200 + number)) "$gateway" serve --config "$home/gateway-$number.yaml"
        gateway_pids+=",$!"
    done
}

# Prints a token without an end in sight, signed with the secret of the benchmarks' configuration.
bench_token() {
    python3 - <<'P'
import base64, hashlib, hmac, json
def part(data): return base64.urlsafe_b64encode(data).rstrip(b"=")
head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
body = part(json.dumps({"sub": "1", "roles": ["game_server"], "games": ["game1"], "exp": 4102444800}).encode())
sign = part(hmac.new(b"benchmark-signing-secret-of-no-worth", head + b"." + body, hashlib.sha256).digest())
print((head + b"." + body + b"." + sign).decode())
P
}

# Starts MariaDB and a gateway whose game has the schema game1m for its mirror, and copies everything: 20,000 players. switch
# ARGUMENTS... runs its `gateway switch` then.
start_mirror() {
    MIRROR=game1m
    start_mariadb
    sql -e "CREATE DATABASE game1m; GRANT ALL ON game1m.* TO 'gw'@'127.0.0.1'; GRANT ALL ON game1m.* TO 'gw'@'localhost';
        SET GLOBAL log_bin_trust_function_creators = 1; DELETE FROM game1.players WHERE id > 20000;
        CREATE TABLE game1m.players LIKE game1.players"
    start_gateway "path: \"$home/journal\""
    switch mirror game1m --tables players
    switch backfill >"$home/backfill"
}
switch() { "$gateway" switch game1 "$@" --config "$home/gateway.yaml" --by bench; }
