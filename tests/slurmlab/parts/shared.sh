# $LAB/shared: the shared file system of the lab: small, with faults on request.

mount_shared() { mount -t tmpfs -o "size=$SHARED_SIZE,mode=1777" "slurmlab$ID" "$LAB/shared"; }

mounts_on_shared() { awk -v at="$LAB/shared" '$5 == at' /proc/self/mountinfo | wc -l; }

unmount_shared() {
  # lazily: something on this machine may still have its working directory there
  while [ "$(mounts_on_shared)" -gt 0 ]; do umount --lazy "$LAB/shared"; done
}

filler() { echo "$LAB/shared/.full"; }

resize_shared() { mount -o "remount,size=$1" "$LAB/shared"; }

used_of_shared() { df --block-size=1 --output=used "$LAB/shared" | tail -n 1 | tr -d ' '; }

# The file system is full when its size equals its content. The file marks the fault; it holds some bytes, since a size of
# 0 would mean no limit.
fill_shared() {
  [ "$(mounts_on_shared)" -eq 1 ] || die "can't fill what is read-only"
  head -c 4096 /dev/zero >"$(filler)"
  wait_until 10 shrink_shared || die "the shared folder is written to faster than it can be made full"
}

shrink_shared() { resize_shared "$(used_of_shared)" 2>/dev/null; }

# The kernel refuses to remount a file system read-only while files such as job logs are open for writing. So a read-only
# view is mounted over the folder, on every node and on this machine: no file can be opened for writing any more.
cover_shared() {
  everywhere 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
}

# A node has several mounts of the folder, since it has its own /tmp: only the read-only one is unmounted.
heal_shared() {
  everywhere 'while awk -v at="$0" "\$5 == at { top = \$6 } END { exit top !~ /^ro/ }" /proc/self/mountinfo
    do umount --lazy "$0" || exit 1; done'
  resize_shared "$SHARED_SIZE"
  rm -f "$(filler)"
}

everywhere() {
  local node
  /bin/sh -c "$1" "$LAB/shared"
  for node in $(node_names); do
    if is_alive "$(node_pidfile "$node")"; then on_node "$node" /bin/sh -c "$1" "$LAB/shared"; fi
  done
}

shared_faults() {
  if [ -e "$(filler)" ]; then echo "$LAB/shared: full"; fi
  if [ "$(mounts_on_shared)" -gt 1 ]; then echo "$LAB/shared: read-only"; fi
}
