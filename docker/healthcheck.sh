#!/bin/bash
# Whether docent answers on this machine: `docent serve` (8420) or `docent worker` (8421), or the port that is given.
# /healthz asks for no token. Bash opens the connection itself, so that the image needs no HTTP client.
set -u
for port in ${1:-8420 8421}; do
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || continue
    printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r -t 4 _ status _ <&3
    exec 3>&-
    [ "${status:-}" = 200 ] && exit 0
done
exit 1
