#!/usr/bin/env bash
# Measures how fast copying to a mirror follows: ./bench/copy.sh [ROUNDS]. One statement changes 20,000 rows, and the time is taken until
# the outbox is empty.
#
# The gateway is pinned to CPU 0; MariaDB, which has both schemas, to CPU 1.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
# shellcheck source=bench/setup.sh
. bench/setup.sh

start_mirror
for ((round = 1; round <= rounds; round++)); do
    sql game1 -e 'UPDATE players SET exp = exp + 1'
    begun=$(date +%s%N)
    while [[ $(sql game1 -N -e 'SELECT COUNT(*) FROM gateway_outbox') != 0 ]]; do sleep 0.02; done
    took=$((($(date +%s%N) - begun) / 1000000))
    echo "round $round: 20000 rows in $took ms, $((20000 * 1000 / took)) rows/s"
done
