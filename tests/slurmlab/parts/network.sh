# One bridge for the lab, which has this machine's address in the lab; one pair of devices and one namespace per node.

bridge() { echo "slab$ID"; }
netns() { echo "slab$ID-$1"; }
host_end() { echo "slab${ID}v${1#node}"; }

make_bridge() {
  ip link add "$(bridge)" type bridge || die "can't make a bridge: needs the right to change the network, and the kernel's bridge"
  ip address add "$NET.1/24" dev "$(bridge)"
  ip link set "$(bridge)" up
}

remove_bridge() { ip link delete "$(bridge)" 2>/dev/null || true; }

make_link() {
  local space
  space=$(netns "$1")
  ip netns add "$space"
  ip link add "$(host_end "$1")" type veth peer name eth0 netns "$space"
  ip link set "$(host_end "$1")" master "$(bridge)" up
  ip -n "$space" link set lo up
  ip -n "$space" address add "$(node_address "$1")/24" dev eth0
  ip -n "$space" link set eth0 up
  # Leads nowhere, but programs ask it which address is theirs; without it Ray takes 127.0.0.1.
  ip -n "$space" route add default via "$NET.1"
}

remove_link() {
  ip netns delete "$(netns "$1")" 2>/dev/null || true
  # the pair goes with the namespace, but only when the kernel gets to it
  ip link delete "$(host_end "$1")" 2>/dev/null || true
}

set_link() { ip link set "$(host_end "$1")" "$2"; }

# slurmctld alone would notice up to 45 s later that a lost node answers again, so slurmd reports the node.
heal_link() {
  set_link "$1" up
  if is_alive "$(node_pidfile "$1")" && slurmd_runs "$1"; then signal_slurmd "$1" HUP; fi
}

link_is_up() { [ -n "$(ip link show "$(host_end "$1")" up 2>/dev/null)" ]; }
