"""A file of joint-relationship maps: what `sanpose relationship` writes into a run's folder, and the report reads.

Knows NumPy's archive and its keys; does not know how a map is computed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError
from sweeps.files import write_atomic

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JointMaps:
    """Relationships of J joints. A map is (J, J), symmetric, in [-1, 1], and NaN for a pair without a common sample.

    maps: (K, J, J), for the values `deltas` (K,) of delta in one trained network. along: (L, J, J), for the checkpoints
    of the run in order, with their `along_deltas` (L,) and `along_epochs` (L,). trained_delta: delta after the
    training. protocol: how the maps were measured, in one or two sentences.
    """

    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    deltas: Floats
    maps: Floats
    along_deltas: Floats
    along_epochs: Floats
    along: Floats
    trained_delta: float
    samples: int
    checkpoint: str
    protocol: str


def write(path: Path, joint_maps: JointMaps) -> None:
    """Write the maps as an .npz archive: whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in vars(joint_maps).items()})
    write_atomic(path, buffer.getvalue())


def read(path: Path) -> JointMaps:
    """The maps in a file. Raises UserError when it is absent, torn, or not such a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in JointMaps.__dataclass_fields__}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(
            f"the joint-relationship maps cannot be read ({' '.join(str(error).split())})",
            where=path,
            expected="a file written by `sanpose relationship`",
            hint=f"`sanpose relationship --run {path.parent.name}` writes it again",
        ) from error
    joints, count = len(values["joints"]), len(values["deltas"])
    if values["maps"].shape != (count, joints, joints):
        raise UserError(
            f"the joint-relationship maps have the shape {values['maps'].shape}",
            where=path,
            expected=f"({count}, {joints}, {joints})",
            hint=f"`sanpose relationship --run {path.parent.name}` writes them again",
        )
    return JointMaps(
        joints=tuple(str(name) for name in values["joints"]),
        bones=tuple((int(a), int(b)) for a, b in values["bones"]),
        deltas=values["deltas"],
        maps=values["maps"],
        along_deltas=values["along_deltas"],
        along_epochs=values["along_epochs"],
        along=values["along"],
        trained_delta=float(values["trained_delta"]),
        samples=int(values["samples"]),
        checkpoint=str(values["checkpoint"]),
        protocol=str(values["protocol"]),
    )
