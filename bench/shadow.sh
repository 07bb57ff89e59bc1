#!/usr/bin/env bash
# Measures what shadow reads cost callers: ./bench/shadow.sh [SECONDS [ROUNDS]]. Reads of MariaDB at a fixed rate, in turn while none
# and while 5 % of them are answered by the mirror, too, and compared.
#
# The gateway is pinned to CPU 0; load and MariaDB, which has both schemas, to CPU 1. RATE sets how many reads a second.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10} rounds=${2:-5}
# shellcheck source=bench/setup.sh
. bench/setup.sh

start_mirror
load() {
    taskset -c 1 "$bench" load --address 127.0.0.1:18110 --pid "$gateway_pid" --mode call --operation player.read --param player_id \
        --first 1 --count 20000 --connections 16 --rate "${RATE:-1500}" --seconds "$seconds" --warm-up 2 --label "$1"
}
for ((round = 1; round <= rounds; round++)); do
    for share in 0% 5%; do
        switch verify --sample "$share" >"$home/verify"
        # A running gateway asks once a second.
        sleep 1.5
        load "$share compared"
    done
done
switch verify
