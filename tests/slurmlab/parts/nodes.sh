# A node: a network, host name, mount and process namespace, with node-init as its first process.

node_pidfile() { echo "$LAB/run/$1.pid"; }

start_node() {
  if is_alive "$(node_pidfile "$1")"; then return 0; fi
  local tmp=$LAB/nodes/$1/tmp
  # as after a boot
  rm -rf --one-file-system "$LAB/spool/$1" "$tmp"
  mkdir -p "$LAB/spool/$1" "$tmp"
  chmod 1777 "$tmp"
  setsid ip netns exec "$(netns "$1")" \
    unshare --uts --mount --pid --fork --kill-child --mount-proc \
    "$HERE/node-init" "$1" "$LAB" "$SHM" "$(visible_folders)" </dev/null >>"$LAB/log/$1.console" 2>&1 9<&- &
  echo $! >"$(node_pidfile "$1")"
}

# A node has its own /tmp, as on a cluster. These folders in this machine's /tmp act as shared folders.
visible_folders() {
  echo "$LAB:$(cd "$HERE/../.." && pwd):$SHARE" | tr : '\n' | sed -n 's|^/tmp/|&|p' | sort -u | paste -sd:
}

# When the unshare process ends, the node's first process ends too, and with it all others of the node.
stop_node() {
  stop_pidfile "$(node_pidfile "$1")"
  local pid
  for pid in $(ip netns pids "$(netns "$1")" 2>/dev/null || true); do
    kill_now "$pid"
  done
}

first_process() {
  local keeper
  is_alive "$(node_pidfile "$1")" || die "$1 is powered off"
  keeper=$(cat "$(node_pidfile "$1")")
  xargs <"/proc/$keeper/task/$keeper/children"
}

# In the caller's working directory, where the node has that directory.
on_node() {
  local node=$1 pid
  shift
  pid=$(first_process "$node") || exit 1
  nsenter --target "$pid" --all /bin/sh -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$PWD" "$@"
}

# The pid in the file is a pid in the node's own namespace.
slurmd_runs() { on_node "$1" /bin/sh -c 'kill -0 "$(cat "$0")"' "$LAB/run/slurmd.$1.pid" 2>/dev/null; }

signal_slurmd() { # NODE SIGNAL
  slurmd_runs "$1" || die "no slurmd runs on $1"
  on_node "$1" /bin/sh -c 'kill -"$1" "$(cat "$0")"' "$LAB/run/slurmd.$1.pid" "$2"
}

start_slurmd() {
  if ! slurmd_runs "$1"; then on_node "$1" slurmd; fi
}

node_faults() {
  link_is_up "$1" || echo "$1: cut off the network"
  if ! is_alive "$(node_pidfile "$1")"; then
    echo "$1: powered off"
  elif ! slurmd_runs "$1"; then
    echo "$1: slurmd is not running"
  fi
}
