# The files that Slurm and the nodes read.

write_configuration() {
  write_hosts
  write_slurm_conf >"$SLURM_CONF"
  write_gres_conf >"$LAB/etc/gres.conf"
  # Left to find it out, slurmd exits where /sys/fs/cgroup is not mounted, as in a network namespace.
  echo "CgroupPlugin=cgroup/v1" >"$LAB/etc/cgroup.conf"
  (umask 077 && head -c 128 /dev/urandom >"$LAB/etc/munge.key")
}

node_address() { echo "$NET.$((10 + ${1#node}))"; }

write_hosts() {
  {
    echo "127.0.0.1 localhost"
    echo "$NET.1 ctl"
    local node
    for node in $(node_names); do echo "$(node_address "$node") $node"; done
  } >"$LAB/etc/hosts"
  # Names come from that file alone: asking a name server, which no node can reach, takes 20 s each time.
  printf '%s: files\n' passwd group shadow hosts >"$LAB/etc/nsswitch.conf"
}

# Slurm 22.05 refuses PreemptParameters, so the signal to preempted jobs is in SlurmctldParameters.
# Slurm checks time limits and signals every 30 s; no setting changes that.
write_slurm_conf() {
  local preempt_signal=""
  if [ "$PREEMPT_SIGNAL" = 1 ]; then preempt_signal="SlurmctldParameters=preempt_send_user_signal"; fi
  cat <<END
ClusterName=lab$ID
SlurmUser=root

# For labs side by side, the controller listens only on its own address.
SlurmctldHost=ctl($NET.1)
CommunicationParameters=NoCtldInAddrAny

AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$LAB/run/munge.sock,cred_expire=$CRED_EXPIRE

StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd.%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd.%n.log
MailProg=/bin/true

# Features that need cgroups, hardware or a database are disabled.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
$(accounting_conf)
JobCompType=jobcomp/filetxt
JobCompLoc=$LAB/log/jobcomp.log

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
GresTypes=gpu
SlurmdParameters=config_overrides

SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$preempt_signal
JobRequeue=1
JobFileAppend=1

# Slurm notices faults within seconds, and shows ended jobs for ten minutes.
ReturnToService=2
SlurmdTimeout=$SLURMD_TIMEOUT
SlurmctldTimeout=10
MessageTimeout=5
TCPTimeout=2
KillWait=$KILLWAIT
BatchStartTimeout=10
InactiveLimit=0
MinJobAge=600

NodeName=node[1-$NODES] NodeAddr=$NET.[11-$((10 + NODES))] CPUs=$CPUS RealMemory=$MEM Gres=gpu:$GPUS State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
PartitionName=preemptible Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=$GRACE MaxTime=INFINITE State=UP
PartitionName=cpu Nodes=ALL PriorityTier=1 PreemptMode=OFF MaxTime=INFINITE State=UP
END
}

# A GPU must be a character device of its own: a count alone makes the node invalid, regular files give no
# CUDA_VISIBLE_DEVICES, and one device counted twice stops slurmd. So: null devices under other names.
make_gpus() {
  local number
  for number in $(seq 0 $((GPUS - 1))); do mknod "$LAB/dev/gpu$number" c 1 3; done
}

write_gres_conf() {
  [ "$GPUS" -gt 0 ] || return 0
  echo "Name=gpu File=$LAB/dev/gpu[0-$((GPUS - 1))] Flags=nvidia_gpu_env"
}
