#!/bin/sh
# Starts nginx in a container, with the container's own DNS server as its resolver: nginx does not read
# /etc/resolv.conf, and the address differs between engines (Docker 127.0.0.11, Podman the gateway of the network).
set -eu

server=$(sed -n 's/^nameserver \([0-9.]*\)$/\1/p' /etc/resolv.conf | head -n 1)
if [ -z "$server" ]; then
    echo "start.sh: /etc/resolv.conf names no DNS server with an IPv4 address" >&2
    exit 1
fi
echo "resolver $server valid=1s ipv6=off;" >/tmp/resolver.conf
exec nginx -g 'daemon off;' "$@"
