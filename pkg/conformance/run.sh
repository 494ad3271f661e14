#!/usr/bin/env bash
# The official SDKs and the README's examples against the real binaries, with the mock upstream behind them.
set -euo pipefail
cd "$(dirname "$0")"
for tool in node npm python3 curl; do
  command -v "$tool" >/dev/null || { echo "the conformance tests need $tool" >&2; exit 1; }
done
if [ ! -d node/node_modules ] || [ node/package-lock.json -nt node/node_modules ]; then
  (cd node && npm ci --no-audit --no-fund --loglevel=error && touch node_modules)
fi
exec go test -race -shuffle=on -count=1 ./...
