#!/usr/bin/env bash
# Starts the box on this machine with a demo class, and the panel's window when there is a display.
# usage: demo.sh FOLDER-WITH-THE-PROGRAMS
set -euo pipefail
bin=$1
home=${CLASSROOM_DEMO:-target/demo}
http=${CLASSROOM_HTTP:-127.0.0.1:8080}
media=${CLASSROOM_MEDIA:-0.0.0.0:8801}
mkdir -p "$home"

cat >"$home/box.toml" <<TOML
[room]
name = "示範教室"
[http]
listen = ["$http"]
[media]
udp = "$media"
tcp = "$media"
[store]
path = "data"
[demo]
class = true
TOML

"$bin/appliance" serve --config "$home/box.toml" &
hub=$!
panel=
studio=
stop() {
    trap - INT TERM EXIT
    [[ -z $studio ]] || kill "$studio" 2>/dev/null || true
    [[ -z $panel ]] || kill "$panel" 2>/dev/null || true
    kill "$hub" 2>/dev/null || true
    wait || true
}
trap stop INT TERM EXIT

# The hub says on its own what it waits for; here we only wait for it.
for _ in $(seq 150); do
    curl -fs "http://$http/healthz" >/dev/null 2>&1 && break
    kill -0 "$hub" 2>/dev/null || exit 1
    sleep 0.2
done

# Camera and microphone for students at home; a test picture and a tone where there is none. Idle outside of lessons.
if [[ -x $bin/studio ]]; then
    "$bin/studio" --hub "http://$http" --key-file "$home/data/studio-key" --size 640x360 --bitrate 700 2>/dev/null &
    studio=$!
fi
if [[ -n ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
    "$bin/display-client" --windowed --hub "http://$http" --state-dir "$home/panel" \
        --pair-token "$home/data/panel-token" &
    panel=$!
fi
wait "$hub"
