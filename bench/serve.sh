#!/usr/bin/env bash
# Starts servers for `gateway-bench compare`, which runs this: ./bench/serve.sh NAME...
#
# Prints `server NAME PID,PID ADDRESS` for each that runs, `absent NAME REASON` for each that cannot, `token JWT`, `key SECRET`, and
# `ready`. Ends, with everything it started, when its input ends. PEER_AXUM and PEER_GO name binaries of `bench/peers`. GATEWAYS: how
# many processes of the gateway share its ports.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/setup.sh
. bench/setup.sh

wants() { [[ " $wanted " == *" $1 "* ]]; }
tell() { echo "server $1 $2 127.0.0.1:$3"; }
absent() { echo "absent $*"; }
# have PROGRAM: whether it is installed.
have() { [ -n "$(type -P "$1")" ]; }
wanted=" $* "

serve_gateway() {
    start_gateway "path: \"$home/journal\"" \
        'jwt: { keys: [ { alg: HS256, secret: benchmark-signing-secret-of-no-worth } ] }' \
        "${cache[@]}"
    echo "key $GATEWAY_API_KEY"
    echo "token $(bench_token)"
    more_gateways "${GATEWAYS:-1}"
    if wants gateway; then tell gateway "$gateway_pids" 18110; fi
    if wants gatewayhttp; then tell gatewayhttp "$gateway_pids" 18111; fi
}

serve_nginx() {
    cat >"$home/nginx.conf" <<N
worker_processes 1;
daemon off;
master_process off;
pid $home/nginx.pid;
events { worker_connections 20000; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $home/nginx-body;
    proxy_temp_path $home/nginx-proxy;
    fastcgi_temp_path $home/nginx-fastcgi;
    uwsgi_temp_path $home/nginx-uwsgi;
    scgi_temp_path $home/nginx-scgi;
    server {
        listen 127.0.0.1:18105;
        default_type application/json;
        location / { return 200 '$(printf 'x%.0s' {1..200})'; }
    }
}
N
    serve 0 18105 nginx -e stderr -c "$home/nginx.conf"
    tell nginx "$!" 18105
}

# Peers and gateway read MariaDB, and share a Redis behind their memory where there is one.
cache=()
if wants gateway || wants gatewayhttp || wants axum || wants gin || wants fasthttp; then
    have mariadbd || { echo "mariadb-server is not installed" >&2; exit 1; }
    start_mariadb
    if have redis-server; then
        serve 1 16390 redis-server --port 16390 --save '' --bind 127.0.0.1
        cache=('cache: { redis: { url: "redis://127.0.0.1:16390/0" } }')
    fi
fi
if wants echo; then
    serve 0 18200 "$bench" echo --address 127.0.0.1:18200
    tell echo "$!" 18200
fi
if wants gateway || wants gatewayhttp; then serve_gateway; fi
if wants redis; then
    if have redis-server; then
        serve 0 16391 redis-server --port 16391 --save '' --bind 127.0.0.1
        pid=$!
        redis-cli -p 16391 eval "for i = 1, 10000 do redis.call('set', 'key:' .. i, string.rep('x', 200)) end" 0 >/dev/null
        tell redis "$pid" 16391
    else
        absent redis "redis-server is not installed"
    fi
fi
if wants nginx; then
    if have nginx; then serve_nginx; else absent nginx "nginx is not installed"; fi
fi
if wants axum; then
    if [ -n "${PEER_AXUM:-}" ]; then
        serve 0 18101 env REDIS=redis://127.0.0.1:16390/ "$PEER_AXUM"
        tell axum "$!" 18101
    else
        absent axum "PEER_AXUM does not name its binary"
    fi
fi
# go NAME PORT VARIABLE...
go() {
    local name=$1 port=$2
    shift 2
    if [ -z "${PEER_GO:-}" ]; then absent "$name" "PEER_GO does not name its binary"; return; fi
    serve 0 "$port" env GOMAXPROCS=1 PORT="$port" REDIS=127.0.0.1:16390 "$@" "$PEER_GO"
    tell "$name" "$!" "$port"
}
if wants gin; then go gin 18103 FAST=; fi
if wants fasthttp; then go fasthttp 18104 FAST=1; fi
echo ready
cat >/dev/null
