# The daemons beside the nodes: munge, which authenticates messages, and slurmctld.

start_munge() {
  munged --force --num-threads=10 \
    --key-file="$LAB/etc/munge.key" --seed-file="$LAB/run/munge.seed" \
    --socket="$LAB/run/munge.sock" --pid-file="$LAB/run/munged.pid" --log-file="$LAB/log/munged.log" \
    2>>"$LAB/log/munged.console" 9<&- || die "munged does not start; see $LAB/log/munged.console"
}

# A daemon under the host name and hosts file of the controller: slurmctld listens on what its host name resolves to.
as_ctl() { unshare --uts --mount /bin/sh -c "hostname ctl && mount --bind $LAB/etc/hosts /etc/hosts && $1" 9<&-; }

start_controller() {
  if is_alive "$LAB/run/slurmctld.pid"; then return 0; fi
  local option=""
  if [ "${1:-}" = --clear ]; then option=-c; fi
  as_ctl "exec slurmctld $option" || die "slurmctld does not start; see $LAB/log/slurmctld.log"
}

# After a kill, slurmctld knows only its saved state: a job that had just started is then started again, or ended.
stop_controller() {
  local pid
  is_alive "$LAB/run/slurmctld.pid" || return 0
  pid=$(cat "$LAB/run/slurmctld.pid")
  kill "$pid"
  wait_until 30 is_gone "$pid" || die "slurmctld does not end"
}
