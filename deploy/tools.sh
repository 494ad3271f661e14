#!/usr/bin/env bash
# Installs what the tests need beside Go and Node, where it is missing, from the system's packages: redis-server, a C compiler
# for the race detector, nginx and Caddy for the rolling update, systemd to judge the unit, and what the README's examples run with.
set -euo pipefail
missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v redis-cli >/dev/null || missing+=(redis-tools)
command -v nginx >/dev/null || missing+=(nginx-light)
command -v caddy >/dev/null || missing+=(caddy)
if [ "$(uname)" = Linux ]; then command -v systemd-analyze >/dev/null || missing+=(systemd); fi
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v python3 >/dev/null || missing+=(python3)
command -v curl >/dev/null || missing+=(curl ca-certificates)
[ ${#missing[@]} -eq 0 ] && exit 0
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
if command -v apt-get >/dev/null; then
  as_root apt-get update -qq
  # Installed, not started: the tests start their own on ports of their own.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
elif command -v brew >/dev/null; then
  brew install redis nginx caddy
else
  echo "please install: ${missing[*]}" >&2
  exit 1
fi
