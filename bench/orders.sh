#!/usr/bin/env bash
# Measures writes: ./bench/orders.sh [SECONDS]. Orders through the journal, and a transaction of four
# statements beside the same statements by hand.
#
# The gateway is pinned to CPU 0; load and MariaDB (innodb_flush_log_at_trx_commit=1) to CPU 1. The journal is in
# a folder of JOURNAL_DIR, or of the usual temporary folder: it must be on a disk, not in memory. Needs
# mariadb-server from Debian. APPLY_BATCHES sets `apply_batches_max`.
#
# The load generator has a higher priority than MariaDB where that is allowed (root): it stands for clients that have a
# machine of their own, and a client that waits for its CPU would count that as the gateway's latency.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
# shellcheck source=bench/setup.sh
. bench/setup.sh
journal=$(mktemp -d -p "${JOURNAL_DIR:-${TMPDIR:-/tmp}}")
folders+=("$journal")

metric() { curl -s http://127.0.0.1:18112/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
backlog() { metric 'gateway_journal_backlog_records{state="journalled"}'; }

start_mariadb
start_gateway "path: \"$journal\", bytes_max: 4294967296, records_max: 8000000"

first=(nice -n -10)
[ -z "$(nice -n -10 true 2>&1)" ] || { first=(); echo "without priority for the load generator: not allowed here"; }
load() { "${first[@]}" taskset -c 1 "$bench" load --address 127.0.0.1:18110 --pid "$gateway_pid" --seconds "$seconds" --first 1 --count 100000 "$@"; }
orders() { load --mode order --operation order.create "$@"; }
# Waits until nothing is queued.
drained() { for _ in $(seq 6000); do [ "$(backlog)" = 0 ] && return; sleep 0.05; done; echo "the backlog stays" >&2; exit 1; }
# rows TABLE: how many it has.
rows() { sql -N -e "SELECT COUNT(*) FROM game1.$1"; }

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
