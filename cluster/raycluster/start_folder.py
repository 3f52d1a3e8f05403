"""The folder of one start of a Ray cluster, which all its nodes see: how the launcher and the nodes communicate.

token          the secret that Ray asks every client for
head.json      how to reach the head
node-KEY.json  the state of a node
notice-KEY     a signal that Slurm has sent to a node
end            appears when the launcher ends the start
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from cluster.files import write_atomic

TOKEN, HEAD, END = "token", "head.json", "end"


class Head(TypedDict):
    """How to reach the head: the address of its Ray, the URL of its dashboard, the name of its node."""

    address: str
    dashboard: str
    node: str


class NodeState(TypedDict):
    """What a node publishes about itself. address: of its Ray. reason: why it failed. code: Ray's exit code."""

    name: str
    state: Literal["starting", "ready", "failed", "ended"]
    address: NotRequired[str]
    reason: NotRequired[str]
    code: NotRequired[int]


def write_head(folder: Path, head: Head) -> None:
    """Publish how to reach the head."""
    write_atomic(folder / HEAD, json.dumps(head))


def read_head(folder: Path) -> Head | None:
    """How to reach the head; None until the head has published it."""
    try:
        head: Head = json.loads((folder / HEAD).read_text())
    except FileNotFoundError:
        return None
    return head


def write_state(folder: Path, key: str, state: NodeState) -> None:
    """Publish a node's state."""
    write_atomic(folder / f"node-{key}.json", json.dumps(state))


def read_state(folder: Path, key: str) -> NodeState | None:
    """A node's state; None until the node has published one."""
    try:
        state: NodeState = json.loads((folder / f"node-{key}.json").read_text())
    except FileNotFoundError:
        return None
    return state


def joiner_keys(folder: Path) -> list[str]:
    """The keys of the nodes of other jobs, which have the form JOB-NUMBER."""
    return [path.stem.removeprefix("node-") for path in folder.glob("node-*-*.json")]
