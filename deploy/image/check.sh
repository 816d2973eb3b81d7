#!/usr/bin/env bash
# Runs the image as a strict container would, and shows that it answers, stores, stops and keeps its data.
#
# There is no container engine here either: namespaces of mounts, processes and network, the image's root file system
# mounted read-only, its own user, command, environment and health check, no capabilities and no new privileges. No
# tmpfs is mounted: what is writable is /data. The network namespace has a loopback interface and nothing else. What
# this leaves out: cgroup limits, seccomp, user namespaces, and the overlay of a real engine.
#
#   apt-get install buildah util-linux iproute2
#   deploy/image/check.sh
#   deploy/image/check.sh AKIN_WORKERS=2    with further settings
#
# Environment: IMAGE (default akin), STORAGE as for build.sh.
set -euo pipefail

IMAGE=${IMAGE:-akin}
STORAGE=${STORAGE:-}
START_SECONDS=120

if [ "$(id -u)" != 0 ]; then
    echo "check.sh: needs root, for mounts and namespaces" >&2
    exit 2
fi

scratch=$(mktemp -d)
container=
outer= # unshare, which waits for the server
b() {
    buildah --storage-driver vfs ${STORAGE:+--root "$STORAGE" --runroot "$STORAGE.run"} "$@"
}
cleanup() {
    if [ -n "$outer" ]; then
        # With process 1 ends all of its namespace, and then unshare.
        kill -KILL $(server) 2>/dev/null || kill -KILL "$outer" 2>/dev/null || true
        wait "$outer" 2>/dev/null || true
    fi
    [ -z "$container" ] || b rm "$container" >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap cleanup EXIT
server() { tr -d ' ' <"/proc/$outer/task/$outer/children" 2>/dev/null; } # unshare's child, process 1 inside
fail() {
    echo "FAILED: $*" >&2
    echo "the server's last lines:" >&2
    tail -5 "$scratch/log" >&2
    exit 1
}
milliseconds() { date +%s%3N; }

container=akin-check-$$ # known before it exists, so that it is removed whenever this ends
b from --pull-never --name "$container" "$IMAGE" >/dev/null
root=$(b mount "$container")
config() { b inspect --format "$1" "$container"; }
mapfile -t environment < <(config '{{range .Docker.Config.Env}}{{println .}}{{end}}' | sed '/^$/d')
environment+=("$@")
mapfile -t command < <(config '{{range .Docker.Config.Cmd}}{{println .}}{{end}}' | sed '/^$/d')
mapfile -t health < <(config '{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}' | sed '/^$/d;1d')
user=$(config '{{.Docker.Config.User}}')
echo "image: $IMAGE, user $user, command '${command[*]}', stop signal $(config '{{.Docker.Config.StopSignal}}')"

# An empty volume takes over owner and mode of the folder it is mounted on, as a named volume of Docker does.
cp -a "$root/data" "$scratch/data"

confined=(setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs --inh-caps=-all
    --bounding-set=-all)

# Each exec replaces the process before it, so that the server becomes process 1 of its namespace, as in a container:
# there SIGTERM has no effect unless it is handled.
start() {
    local begun
    begun=$(milliseconds)
    unshare --mount --pid --net --ipc --uts --fork bash -euc '
        root=$1 data=$2; shift 2
        ip link set lo up
        mount --bind "$root" "$root"
        mount --bind "$data" "$root/data"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
        for device in null zero full random urandom; do
            touch "$root/dev/$device"
            mount --bind "/dev/$device" "$root/dev/$device"
        done
        mount -o remount,ro "$root/dev"
        mount -o remount,bind,ro "$root"
        cd "$root"
        exec chroot . /usr/bin/env -i -C /data "$@"
    ' start "$root" "$scratch/data" "${environment[@]}" "${confined[@]}" "${command[@]}" >>"$scratch/log" 2>&1 &
    outer=$!
    until inside "${health[@]}" >/dev/null 2>&1; do
        kill -0 "$outer" 2>/dev/null || fail "it ended at the start"
        [ $(($(milliseconds) - begun)) -lt $((START_SECONDS * 1000)) ] || fail "not healthy in $START_SECONDS s"
        sleep 0.2
    done
    echo "$1: healthy by its own health check after $(($(milliseconds) - begun)) ms"
}
# Runs a command beside the server, in its namespaces, as its user.
inside() {
    local pid
    pid=$(server)
    [ -n "$pid" ] || return 1
    nsenter --target "$pid" --mount --net --pid --root --wd \
        /usr/bin/env -i -C /data "${environment[@]}" "${confined[@]}" "$@"
}
stop() {
    local begun status=0 took
    begun=$(milliseconds)
    kill -TERM "$(server)"
    wait "$outer" || status=$?
    outer=
    took=$(($(milliseconds) - begun))
    [ "$status" = 0 ] || fail "exit code $status after SIGTERM"
    [ "$took" -lt "$grace_ms" ] || fail "$took ms from SIGTERM to its end"
    echo "stopped: SIGTERM, exit code 0 after $took ms (at most $grace_ms ms)"
}

start started
grace_ms=$(inside python -c \
    'from service.settings import Settings; print(round(Settings().shutdown_grace_seconds * 1000))')
inside python - <<'PYTHON'
import os
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

print("process 1:", open("/proc/1/cmdline").read().replace("\0", " ").strip())
lines = dict(line.split(":\t", 1) for line in open("/proc/1/status").read().splitlines() if ":\t" in line)
print("its user", lines["Uid"].split()[0], "capabilities", lines["CapEff"], "no new privileges", lines["NoNewPrivs"])
assert os.getuid() == 10001 and int(lines["CapEff"], 16) == 0 and int(lines["CapBnd"], 16) == 0
writable = []
for folder in ("/", "/tmp", "/var/tmp", "/opt/akin", "/home", "/run", "/dev", "/data"):
    try:
        open(f"{folder}/.probe", "w").close()
        os.unlink(f"{folder}/.probe")
        writable.append(folder)
    except OSError:
        pass
print("writable:", *writable)
assert writable == ["/data"]
with grpc.insecure_channel("127.0.0.1:50051") as channel:
    for name in ("", "akin.v1.RecommenderService"):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        print(f"health of {name!r}:", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
PYTHON
inside python - <<'PYTHON'
import akin

with akin.Client("127.0.0.1:50051") as client:
    client.upsert_item("boot-1", "Waterproof leather boots for winter hikes", {"price": 120})
    client.upsert_item("pan-1", "Cast iron pan for searing steaks")
    client.upsert_user("ann", preferences=["walking in the mountains"])
    hits = client.recommend_similar(user_id="ann").recommendations
print("wrote 2 items and 1 user; ann gets", [hit.item_id for hit in hits])
assert hits[0].item_id == "boot-1"
PYTHON
stop
# Root of the host reads the volume: the checkpoint is done, the lock is free.
echo "data: $(cd "$scratch/data" && find . -type f -printf '%P (%s bytes, user %U) ' | sort)"
start "started again"
inside python - <<'PYTHON'
import akin

with akin.Client("127.0.0.1:50051") as client:
    hits = client.recommend_similar(user_id="ann", full=True).recommendations
    count = client.get_catalog().item_count
print("kept:", count, "items; ann gets", [(hit.item_id, hit.item.text) for hit in hits])
assert count == 2 and hits[0].item_id == "boot-1"
PYTHON
stop
echo "all as it should be"
