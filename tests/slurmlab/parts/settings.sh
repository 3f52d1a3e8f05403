# The settings, and the names and paths derived from them.

SAVED="NODES NET CPUS MEM GPUS SHM SHARED_SIZE SHARE PREEMPT_SIGNAL GRACE KILLWAIT SLURMD_TIMEOUT CRED_EXPIRE ACCOUNTING"

# `up` reads settings from the environment; later commands read the lab's saved settings, so they need only its number.
load_settings() {
  ID=${SLURMLAB_ID:-0}
  [[ $ID =~ ^[0-9]+$ ]] && [ "$ID" -le 200 ] || die "SLURMLAB_ID=$ID: expected a number from 0 to 200"
  LAB=${SLURMLAB_DIR:-/tmp/slurmlab$ID}        # short: paths of Unix sockets end at 107 bytes
  NODES=${SLURMLAB_NODES:-3}
  NET=${SLURMLAB_NET:-10.77.$ID}               # the first three bytes of the addresses
  CPUS=${SLURMLAB_CPUS:-8}                     # of each node; they need not be there
  MEM=${SLURMLAB_MEM:-8000}                    # MB of each node; need not be there either
  GPUS=${SLURMLAB_GPUS:-2}                     # of each node
  SHM=${SLURMLAB_SHM:-1g}                      # each node's /dev/shm
  SHARED_SIZE=${SLURMLAB_SHARED_SIZE:-1g}      # $LAB/shared
  SHARE=${SLURMLAB_SHARE:-}                    # folders below /tmp that the nodes see too: one:two
  PREEMPT_SIGNAL=${SLURMLAB_PREEMPT_SIGNAL:-1} # 1: preemption sends the signal of --signal; 0: SIGTERM alone
  GRACE=${SLURMLAB_GRACE:-10}                  # seconds a preempted job has
  KILLWAIT=${SLURMLAB_KILLWAIT:-5}             # seconds from SIGTERM to SIGKILL
  SLURMD_TIMEOUT=${SLURMLAB_SLURMD_TIMEOUT:-10} # seconds until a silent node is down
  CRED_EXPIRE=${SLURMLAB_CRED_EXPIRE:-5}       # seconds; with Slurm's 120 a requeued job waits two minutes
  ACCOUNTING=${SLURMLAB_ACCOUNTING:-0}         # 1: a database of jobs, as sacct wants it
  if [ "$1" != up ] && [ -f "$LAB/etc/settings" ]; then
    # shellcheck source=/dev/null
    . "$LAB/etc/settings"
  fi
  export SLURM_CONF=$LAB/etc/slurm.conf
  # Settings that Slurm's commands take from the environment are meant for the cluster that the caller works on.
  unset "${!SBATCH_@}" "${!SQUEUE_@}" "${!SINFO_@}"
}

save_settings() {
  local name
  for name in $SAVED; do
    printf '%s=%q\n' "$name" "${!name}"
  done >"$LAB/etc/settings"
}

make_folders() {
  mkdir -p "$LAB"/{etc,log,state,run,dev,spool,nodes,shared}
  chmod 755 "$LAB"
}

node_names() {
  local number
  for number in $(seq "$NODES"); do echo "node$number"; done
}

need_node() {
  [[ $1 =~ ^node([1-9][0-9]*)$ ]] && [ "${BASH_REMATCH[1]}" -le "$NODES" ] ||
    die "no node '$1': the lab has $(node_names | xargs)"
}

need_lab() { [ -f "$SLURM_CONF" ] || die "lab $ID is not up: slurmlab up"; }

# The nodes that exist, also of a lab that came up only in part or had more nodes.
node_traces() {
  { ls "$LAB/run" /run/netns 2>/dev/null || true; } |
    sed -nE "s/^(slab$ID-)?(node[0-9]+)(\.pid)?$/\1\2/p" | sed "s/^slab$ID-//" | sort -u
}
