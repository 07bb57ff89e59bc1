#!/usr/bin/env bash
# Shows that a hit writes to no memory that another thread touches: ./bench/hot-key.sh [SECONDS [ROUNDS]]. Everybody asks for one row, in
# turn of one gateway with one frontend on one CPU, of two gateways with one frontend each on two CPUs, which share nothing but the
# kernel, and of one gateway with two frontends on the same two. Told is the CPU time a request of the frontends' threads.
#
# What the last has more than the second is what threads cost each other; what both have more than the first is the kernel's, whose load
# and server are on different CPUs then. Each CPU that has a frontend has a load of 64 connections, too.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-4} rounds=${2:-5}
# shellcheck source=bench/setup.sh
. bench/setup.sh

# another PORT NODE FRONTENDS CPUS: one more gateway, with its admin port two above PORT; its process is $!.
another() {
    sed -e "s#$home/journal#$home/journal-$2#; s#127.0.0.1:18110#127.0.0.1:$1#; s#127.0.0.1:18111#127.0.0.1:$(($1 + 1))#" \
        -e "s#127.0.0.1:18112#127.0.0.1:$((18200 + $2))#; s#frontend_threads: 1#frontend_threads: $3#; s#pin: false#pin: true#" \
        -e "s#^runtime: {#runtime: { node: $2,#" "$home/gateway.yaml" >"$home/gateway-$2.yaml"
    serve "$4" $((18200 + $2)) "$gateway" serve --config "$home/gateway-$2.yaml"
}
# frontends PID...: CPU time of their frontend threads, in nanoseconds.
frontends() {
    local task
    for pid in "$@"; do
        for task in "/proc/$pid/task/"*; do
            if [[ $(<"$task/comm") == fe-* ]]; then awk '{print $1}' "$task/schedstat"; fi
        done
    done | awk '{sum += $1} END {printf "%.0f", sum}'
}
# requests ADMIN_PORT...: how many they have answered.
requests() {
    local port
    for port in "$@"; do curl -s "http://127.0.0.1:$port/metrics"; done |
        awk '/^gateway_requests_total/ {sum += $NF} END {printf "%.0f", sum}'
}
# measure NAME PORT CPUS "PID..." "ADMIN_PORT..."
measure() {
    local name=$1 port=$2 cpus=$3 loads=() nanos count
    local -a of admin
    read -ra of <<<"$4"; read -ra admin <<<"$5"
    for cpu in $cpus; do
        taskset -c "$cpu" "$bench" load --address "127.0.0.1:$port" --first 1001 --count 1 --warm-up 0 --seconds $((seconds + 2)) >>"$home/load" &
        loads+=($!)
    done
    sleep 1
    nanos=$(frontends "${of[@]}") count=$(requests "${admin[@]}")
    sleep "$seconds"
    count=$(($(requests "${admin[@]}") - count)) nanos=$(($(frontends "${of[@]}") - nanos))
    wait "${loads[@]}"
    awk -v name="$name" -v n=$nanos -v c=$count -v s="$seconds" \
        'BEGIN {if (!c) exit 1; printf "%s %.3f %.0f\n", name, n / 1000 / c, c / s}' | tee -a "$home/measured"
}

start_mariadb
start_gateway "path: \"$home/journal\""
free 18120 18121 18130 18131
another 18120 2 1 0; first=$!
another 18120 3 1 1; second=$!
another 18130 4 2 0,1; both=$!
echo "frontends of: us of CPU a request, requests/s"
for ((round = 1; round <= rounds; round++)); do
    measure one 18110 0 "$gateway_pid" 18112
    measure apart 18120 "0 1" "$first $second" "18202 18203"
    measure together 18130 "0 1" "$both" 18204
done
sort -k1,1 -k2,2n "$home/measured" | awk '
    { of[$1] = of[$1] " " $2; n[$1]++ }
    function middle(name,   v) { split(of[name], v, " "); return v[int((n[name] + 1) / 2)] }
    function told(name,   v) { split(of[name], v, " "); printf "%-9s median %.2f us (%.2f-%.2f)\n", name, middle(name), v[1], v[n[name]] }
    END { told("one"); told("apart"); told("together")
        printf "together: %.2f x apart, %.2f x one\n", middle("together") / middle("apart"), middle("together") / middle("one") }'
