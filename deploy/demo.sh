#!/usr/bin/env bash
# The proxy in front of the mock upstream, until Ctrl-C. First argument: the folder with both binaries.
set -euo pipefail
bin=$1
port=${PORT:-10000}
mock=${MOCK_PORT:-9100}
"$bin/mockopenai" -addr "127.0.0.1:$mock" -chunks 20 -chunk-delay-ms 60 &
mockpid=$!
trap 'kill $mockpid 2>/dev/null || true' EXIT
cat <<EOF

The proxy serves three made-up keys of a mock upstream on http://127.0.0.1:$port. In another terminal:

  curl -N http://127.0.0.1:$port/v1/chat/completions \\
    -H 'Authorization: Bearer sk-test-demo-1' -H 'Content-Type: application/json' \\
    -d '{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

Ctrl-C ends both.

EOF
export OPENAI_BASE_URL="http://127.0.0.1:$mock" DATA_DIR=
export OPENAI_API_KEYS='[{"id":"one","key":"sk-test-demo-1"},{"id":"two","key":"sk-test-demo-2"},{"id":"three","key":"sk-test-demo-3"}]'
unset OPENAI_API_KEY CONFIG_FILE
"$bin/openai-api-proxy"
