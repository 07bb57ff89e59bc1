#!/usr/bin/env bash
# Counts the user instructions of a request that is answered from memory: ./bench/instructions.sh. A CALL over TCP and a GET over HTTP/1.1
# with a JWT, one in flight on one connection, system calls' wrappers included. The figures do not depend on what else the machine does.
#
# The gateway runs under valgrind, without a ring; instrumentation begins when it is warm. Needs valgrind and mariadb-server from Debian.
# What callgrind wrote is kept in a folder of KEEP, where that is set, for callgrind_annotate.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/setup.sh
. bench/setup.sh

requests() { curl -s http://127.0.0.1:18212/metrics | awk '/^gateway_requests_total/ {sum += $NF} END {printf "%.0f", sum}'; }
# instructions: of the thread that has most since the last dump, which is the frontend.
instructions() { grep -h '^totals:' "$home"/callgrind.* | awk '{if ($2 > most) most = $2} END {printf "%.0f", most}'; }
# count NAME ARGUMENTS...: loads until it is warm, and counts a second load.
count() {
    local name=$1 before
    shift
    load=("$bench" load --connections 1 --count 1000 --warm-up 0 "$@")
    taskset -c 1 "${load[@]}" --seconds 5 >>"$home/load"
    rm -f "$home"/callgrind.*
    control --zero
    control --instr=on
    before=$(requests)
    taskset -c 1 "${load[@]}" --seconds 10 >>"$home/load"
    requests=$(($(requests) - before))
    control --instr=off
    control --dump
    awk -v name="$name" -v i="$(instructions)" -v n=$requests 'BEGIN {printf "%s: %.0f instructions (%d requests)\n", name, i / n, n}'
    if [ -n "${KEEP:-}" ]; then for file in "$home"/callgrind.*; do cp "$file" "$KEEP/$name.${file##*/}"; done; fi
}
control() { callgrind_control "$1" "$pid" >>"$home/control" 2>&1; }

start_mariadb
start_gateway "path: \"$home/journal\"" 'jwt: { keys: [ { alg: HS256, secret: benchmark-signing-secret-of-no-worth } ] }'
GATEWAY_BENCH_TOKEN=$(bench_token)
export GATEWAY_BENCH_TOKEN
sed -e 's#127.0.0.1:1811#127.0.0.1:1821#g; s#^runtime: {#runtime: { node: 2, io_uring: "off",#' -e "s#$home/journal#$home/journal-2#" \
    "$home/gateway.yaml" >"$home/valgrind.yaml"
on 0 valgrind --tool=callgrind --separate-threads=yes --instr-atstart=no "--callgrind-out-file=$home/callgrind.%p" \
    "$gateway" serve --config "$home/valgrind.yaml"
pid=$!
until_open 18210
count call --address 127.0.0.1:18210
count get --address 127.0.0.1:18211 --mode http --path '/v1/game1/players/{}'
