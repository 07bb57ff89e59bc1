#!/usr/bin/env bash
# Measures writes: ./bench/orders.sh [SECONDS]. Orders through the journal, and a transaction of four
# statements beside the same statements by hand.
#
# The gateway is pinned to CPU 0; load and MariaDB (innodb_flush_log_at_trx_commit=1) to CPU 1. The journal is in
# a folder of JOURNAL_DIR, or of the usual temporary folder: it must be on a disk, not in memory. Needs
# mariadb-server from Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
gateway=${GATEWAY:-target/release/gateway} bench=${BENCH:-target/release/gateway-bench}
home=$(mktemp -d)
journal=$(mktemp -d -p "${JOURNAL_DIR:-${TMPDIR:-/tmp}}")
PATH="$PATH:/usr/sbin"
pids=()
stop() {
    for pid in "${pids[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$home" "$journal"
}
trap stop EXIT

# Runs a command on a CPU in the background; its process is $!.
on() { local cpu=$1; shift; taskset -c "$cpu" "$@" >>"$home/output" 2>&1 & pids+=($!); }
until_open() { for _ in $(seq 300); do (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done; echo "port $1 stays closed" >&2; cat "$home/output" >&2; exit 1; }
metric() { curl -s http://127.0.0.1:18112/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
cpu() { awk '{print $14+$15}' "/proc/$1/stat"; }
backlog() { metric 'gateway_journal_backlog_records{state="journalled"}'; }

mkdir -p "$home"/{db,run,log}
chmod 755 "$home"
user=$(id -un)
sed -e "s#@HOME@#$home#; s#^user=.*#user=$user#" bench/peers/sql/my.cnf >"$home/my.cnf"
mariadb-install-db --no-defaults --user="$user" --datadir="$home/db" >"$home/install" 2>&1
on 1 env TMPDIR="$home/run" mariadbd --defaults-file="$home/my.cnf"; mariadb_pid=$!
until_open 13388
mariadb --no-defaults -S "$home/run/mysql.sock" -u root <bench/peers/sql/schema.sql

key=$("$gateway" key new bench --role game_server --game game1 2>"$home/key.txt")
secret=$(grep -Eo 'bench\.[A-Za-z0-9_-]{43}' "$home/key.txt")
cat >"$home/gateway.yaml" <<Y
runtime: { frontend_threads: 1, backend_threads: 1, pin: false }
server: { tcp: { address: "127.0.0.1:18110", max_connections: 20000 }, http: { address: "127.0.0.1:18111" } }
admin: { address: "127.0.0.1:18112" }
templates: $PWD/bench/templates
database:
  connections:
    game1: { type: mysql, host: 127.0.0.1, port: 13388, username: gw, password: gwpass, database: game1, max_open_conns: 32, min_idle_conns: 8, apply_batches_max: ${APPLY_BATCHES:-4} }
games: { game1: { id: game1, name: game1, database: game1 } }
journal: { path: "$journal", bytes_max: 4294967296, records_max: 8000000 }
auth:
  roles: { game_server: {}, player: {} }
  api_keys:
    ${key//$'\n'/$'\n'    }
logging: { level: error, requests: "off" }
Y
"$gateway" migrate --config "$home/gateway.yaml" >"$home/migrate"
export GATEWAY_API_KEY=$secret
on 0 "$gateway" serve --config "$home/gateway.yaml"; gateway_pid=$!
until_open 18110

load() { taskset -c 1 "$bench" load --address 127.0.0.1:18110 --pid "$gateway_pid" --seconds "$seconds" --first 1 --count 100000 "$@"; }
orders() { load --mode order --operation order.create "$@"; }
# Waits until nothing is queued.
drained() { for _ in $(seq 6000); do [ "$(backlog)" = 0 ] && return; sleep 0.05; done; echo "the backlog stays" >&2; exit 1; }
# rows TABLE: how many it has.
rows() { mariadb --no-defaults -S "$home/run/mysql.sock" -u root -N -e "SELECT COUNT(*) FROM game1.$1"; }

echo "== orders, 64 connections with 8 in flight, the applier at work"
syncs=$(metric gateway_journal_syncs_total) bytes=$(metric gateway_journal_bytes_total) records=$(metric gateway_journal_records_total)
orders --pipeline 8 --prefix a --label "order.create" | tee "$home/burst"
syncs=$(($(metric gateway_journal_syncs_total) - syncs)) bytes=$(($(metric gateway_journal_bytes_total) - bytes)) records=$(($(metric gateway_journal_records_total) - records))
awk -v s=$syncs -v b=$bytes -v r=$records 'BEGIN{printf "%d orders: %.1f syncs a thousand, %.0f bytes an order\n", r, s*1000/r, b/r}'
rate=$(awk '{gsub("/s", "", $2); print int($2)}' "$home/burst")
drained
echo "== orders at a tenth of that rate, each sent at its own time"
orders --rate $((rate / 10)) --prefix b --label "order.create, $((rate / 10))/s"
drained
echo "== orders while the database hangs (SIGSTOP), then the backlog drains"
kill -STOP "$mariadb_pid"
orders --pipeline 16 --prefix c --label "order.create, accepted only"
kill -CONT "$mariadb_pid"
waiting=$(backlog) before=$(cpu "$gateway_pid") begun=$(date +%s%N)
drained
awk -v n="$waiting" -v ns=$(($(date +%s%N) - begun)) -v c=$(($(cpu "$gateway_pid") - before)) \
    'BEGIN{printf "%d orders applied in %.1f s: %.0f orders/s, %.0f rows/s, cpu %.1f us/order\n", n, ns/1e9, n*1e9/ns, n*2e9/ns, c*10000/n}'
echo "$(rows orders) orders and $(rows gateway_request) keys in the database, $(metric gateway_journal_records_total) acknowledged"
echo "== a transaction of four statements, 16 at once"
for round in 1 2; do
    load --mode transfer --operation gold.transfer --connections 16 --prefix "t$round" --label "gold.transfer"
    taskset -c 0 "$bench" by-hand --address 127.0.0.1:13388 --connections 16 --seconds "$seconds" --prefix "h$round"
done
