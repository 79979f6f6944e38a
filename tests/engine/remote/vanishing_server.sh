#!/usr/bin/env bash
# A server that vanishes from the network in the middle of a run, and comes back; in a network namespace of its own.
#   unshare -Urn vanishing_server.sh ASSAY FAULT_SERVER.py FOLDER
set -euo pipefail

assay=$1
server=$2
cd "$3"
ip link set lo up
python3 "$server" port slow &
serving=$!
trap 'kill "$serving" 2>/dev/null || true' EXIT
for _ in $(seq 500); do [ -e port ] && break || sleep 0.01; done
run=(run --model "http://127.0.0.1:$(cat port)/v1" --tasks arithmetic:4 --limit 25 --max-connections 4 --request-timeout 1)
"$assay" "${run[@]}" -o steady >/dev/null
"$assay" "${run[@]}" -o cut >/dev/null &
sampling=$!
for _ in $(seq 500); do
  [ "$(stat -c %s cut/run.sqlite-wal 2>/dev/null || echo 0)" -gt 40000 ] && break || sleep 0.01
done
ip link set lo down
sleep 2
kill -0 "$sampling"  # it still tries
echo "stored when the network was gone: $("$assay" export cut 2>/dev/null | wc -l)"
ip link set lo up
wait "$sampling"
"$assay" export steady >steady.jsonl
"$assay" export cut >cut.jsonl
cmp steady.jsonl cut.jsonl
echo same
