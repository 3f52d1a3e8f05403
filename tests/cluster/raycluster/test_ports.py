"""A block of ports is one process's alone, and goes with it."""

from __future__ import annotations

import socket
import subprocess
import sys

from cluster.raycluster import ports


def test_two_claims_on_a_node_are_apart_and_a_released_block_is_free_again() -> None:
    one, two = ports.claim(150), ports.claim(40)
    assert one and two and one.size == 200 and two.size == 100
    assert one.first + one.size <= two.first or two.first + two.size <= one.first
    one.release()
    again = ports.claim(150)
    assert again and again.first == one.first
    two.release()
    again.release()


def test_another_process_is_seen_and_its_block_freed_when_it_is_killed() -> None:
    script = "from cluster.raycluster import ports; b = ports.claim(40); print(b.first, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    first = int(other.stdout.readline())
    own = ports.claim(40)
    assert own and own.first != first
    own.release()
    other.kill()
    other.wait()
    freed = ports.claim(40)
    assert freed and freed.first == first
    freed.release()


def test_a_block_in_which_something_listens_is_passed_over() -> None:
    before = ports.claim(40)
    assert before
    before.release()
    with socket.socket() as stranger:
        stranger.bind(("", before.first + 7))
        stranger.listen()
        block = ports.claim(40)
        assert block and block.first > before.first
        block.release()


def test_a_node_without_a_free_block_gives_none() -> None:
    assert ports.claim(ports.LAST - ports.FIRST + ports.UNIT) is None
