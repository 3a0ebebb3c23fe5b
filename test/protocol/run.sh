#!/bin/sh
# Builds protocol-server, starts it on a free port, runs the cases of both protocol documents over its poller and over its portable path, stops it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pid=
stop() {
	if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
	pid=
}
trap 'stop; rm -rf "$work"' EXIT INT TERM

cd "$here"
[ -d node_modules/ws ] || npm ci --no-audit --no-fund --silent
(cd "$here/../../services" && go build -o "$work/protocol-server" ./cmd/protocol-server)
for portable in false true; do
	"$work/protocol-server" --addr 127.0.0.1:0 --portable="$portable" >"$work/out.$portable" &
	pid=$!
	tries=0
	until grep -q 'listening on' "$work/out.$portable"; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || { echo "protocol-server did not start" >&2; exit 1; }
		sleep 0.05
	done
	echo "portable=$portable"
	PROTOCOL_URL="http://$(sed -n 's/^listening on //p' "$work/out.$portable")" npm test --silent
	stop
done
