#!/usr/bin/env bash
# Measures the gateway beside what it is compared with, in one run: ./bench/run.sh [SECONDS [ROUNDS]]
#
# The server under test is pinned to CPU 0, the load generator and the databases to CPU 1. Rounds
# alternate, so that a noisy machine is unkind to all alike; the figure to trust is the server's CPU
# time per request. Needs mariadb-server, redis-server, redis-tools and wrk from Debian.
# Peers are measured where they are built: PEER_AXUM and PEER_GO name their binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5} rounds=${2:-3}
# shellcheck source=bench/setup.sh
. bench/setup.sh

start_mariadb
on 1 redis-server --port 16390 --save '' --bind 127.0.0.1; redis_pid=$!
until_open 16390

start_gateway "path: \"$home/journal\"" \
    'jwt: { keys: [ { alg: HS256, secret: benchmark-signing-secret-of-no-worth } ] }' \
    'cache: { redis: { url: "redis://127.0.0.1:16390/0" } }'
token=$(bench_token)
on 0 "$bench" echo --address 127.0.0.1:18200; echo_pid=$!
until_open 18200
axum_pid='' go_pid='' fast_pid=''
if [ -n "${PEER_AXUM:-}" ]; then on 0 env REDIS=redis://127.0.0.1:16390/ "$PEER_AXUM"; axum_pid=$!; until_open 18101; fi
if [ -n "${PEER_GO:-}" ]; then
    on 0 env GOMAXPROCS=1 PORT=18103 REDIS=127.0.0.1:16390 "$PEER_GO"; go_pid=$!; until_open 18103
    on 0 env GOMAXPROCS=1 FAST=1 PORT=18104 REDIS=127.0.0.1:16390 "$PEER_GO"; fast_pid=$!; until_open 18104
fi

load() { taskset -c 1 "$bench" load --seconds "$seconds" --first 1 --count 10000 "$@"; }
# http LABEL PID PORT PATH [HEADER]: one wrk run and the server's CPU time per request.
cat >"$home/get.lua" <<'L'
local n, path, auth = tonumber(os.getenv("N")), os.getenv("P"), os.getenv("AUTH")
local headers = { Host = "localhost" }
if auth ~= "" then headers["Authorization"] = auth end
init = function() math.randomseed(42) end
request = function() return wrk.format("GET", string.format(path, math.random(1, n)), headers) end
done = function(s, l) io.write(string.format("RESULT %d %.0f %d %.0f %.0f\n", s.requests, s.requests / (s.duration / 1e6), s.errors.status, l:percentile(50), l:percentile(99))) end
L
http() {
    local before after out
    before=$(cpu "$2")
    out=$(N=10000 P="$4" AUTH="${5:-}" taskset -c 1 wrk -t1 -c64 -d"${seconds}s" --latency -s "$home/get.lua" "http://127.0.0.1:$3/" | grep RESULT)
    after=$(cpu "$2")
    read -r _ count rate bad p50 p99 <<<"$out"
    awk -v l="$1" -v r="$rate" -v c="$count" -v d=$((after - before)) -v b="$bad" -v p="$p50" -v q="$p99" \
        'BEGIN{printf "%-28s %9d/s  cpu %.2f us/request  p50 %d p99 %d us  errors %d\n", l, r, d*10000/c, p, q, b}'
}

for round in $(seq "$rounds"); do
    echo "== round $round: cached, over TCP, 64 connections"
    load --mode echo --address 127.0.0.1:18200 --pid "$echo_pid" --label "bare monoio echo, 64 bytes"
    load --address 127.0.0.1:18110 --pid "$gateway_pid" --label "gateway CALL player.get"
    echo "== round $round: cached, 16 in flight on each of 64 connections"
    load --address 127.0.0.1:18110 --pid "$gateway_pid" --pipeline 16 --label "gateway CALL player.get x16"
    echo "== round $round: cached, HTTP, 64 connections"
    http "gateway GET with a JWT" "$gateway_pid" 18111 /v1/game1/players/%d "Bearer $token"
    [ -z "$fast_pid" ] || http "go fasthttp + bigcache" "$fast_pid" 18104 /v1/games/game1/players/%d
    [ -z "$go_pid" ] || http "go gin + bigcache" "$go_pid" 18103 /v1/games/game1/players/%d
    [ -z "$axum_pid" ] || http "axum + sqlx + moka" "$axum_pid" 18101 /v1/games/game1/players/%d
    echo "== round $round: uncached, HTTP, 64 connections"
    http "gateway GET, uncached" "$gateway_pid" 18111 /v1/game1/uncached/%d "Bearer $token"
    [ -z "$go_pid" ] || http "go gin, uncached" "$go_pid" 18103 "/v1/games/game1/players/%d?nocache=1"
    [ -z "$axum_pid" ] || http "axum + sqlx, uncached" "$axum_pid" 18101 "/v1/games/game1/players/%d?nocache=1"
    load --address 127.0.0.1:18110 --pid "$gateway_pid" --operation player.read --label "gateway CALL, uncached"
done
echo "== Redis GET with 16 in the pipeline, server on CPU 0, client on CPU 1"
taskset -cp 0 "$redis_pid" >/dev/null
redis-cli -p 16390 set key:bench "$(printf 'x%.0s' {1..200})" >/dev/null
for _ in $(seq "$rounds"); do
    before=$(cpu "$redis_pid")
    rate=$(taskset -c 1 redis-benchmark -p 16390 -c 64 -P 16 -n $((seconds * 800000)) --csv get key:bench | tail -n 1 | cut -d, -f2 | tr -d '"')
    after=$(cpu "$redis_pid")
    awk -v r="$rate" -v n=$((seconds * 800000)) -v d=$((after - before)) 'BEGIN{printf "%-28s %9d/s  cpu %.2f us/request\n", "Redis GET x16", r, d*10000/n}'
done
echo "== 5000 idle connections"
taskset -c 1 "$bench" load --mode idle --seconds 1 --connections 5000 --address 127.0.0.1:18110 --pid "$gateway_pid" --label "gateway, idle TCP"
