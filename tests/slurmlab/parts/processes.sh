# Ending processes: only those of this lab, and until they are gone.

# A zombie has ended, although its parent may be slow to reap it.
is_running() {
  local state
  state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 1
  [[ $state != "" && $state != [ZX] ]]
}

# A pid in an old file may belong to another process by now; the lab's processes have its SLURM_CONF in their environment.
is_ours() {
  grep -qzxF "SLURM_CONF=$SLURM_CONF" "/proc/$1/environ" 2>/dev/null
}

is_alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && is_running "$pid" && is_ours "$pid"
}

wait_until() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

is_gone() { ! is_running "$1"; }

kill_now() {
  kill -9 "$1" 2>/dev/null || true
  wait_until 30 is_gone "$1" || die "process $1 does not end"
}

stop_pidfile() {
  if is_alive "$1"; then kill_now "$(cat "$1")"; fi
  rm -f "$1"
}
