"""Human3.6M's errors: MPJPE, and PA-MPJPE without and with scale, per action and on average.

Knows arrays of poses in mm in the camera frame (x right, y down, z away from the camera), 17 joints in the order of
`sanpose.pose.joints.H36M17`. Does not know files, crops or networks.

Sources: Ionescu et al., Human3.6M (2014), for MPJPE; Umeyama (1991) for the alignment; the SAN paper, section 4, for
the names of the protocols.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import ACTIONS
from sanpose.errors import UserError
from sanpose.metrics.checks import require_finite, require_shape
from sanpose.metrics.protocol import FigureTable, Protocol, cell, listed
from sanpose.pose.joints import H36M17

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Alignment = Literal["root", "rigid", "similarity"]

MEASURES: dict[Alignment, str] = {"root": "MPJPE", "rigid": "PA-MPJPE rigid", "similarity": "PA-MPJPE + scale"}
ALIGNMENTS: dict[Alignment, str] = {
    "root": "pelvis at the origin",
    "rigid": "rotation and translation",
    "similarity": "rotation, translation and scale",
}
JOINTS = {17: "17 (with the pelvis, 0 after root alignment)", 16: "16 (without the pelvis)"}


@dataclass(frozen=True)
class Average:
    """One measure in mm: the mean over all frames, the mean over the actions' means, and each action's mean."""

    frames: float
    actions: float | None
    per_action: dict[str, float]


@dataclass(frozen=True)
class H36MResult:
    """Errors in mm. `paper_protocol`: the paper's name for the tested subjects, or a text that says there is none."""

    mpjpe: Average
    pa_mpjpe: Average
    pa_mpjpe_scaled: Average
    per_action_samples: dict[str, int]
    paper_protocol: str
    protocol: Protocol

    def as_dict(self) -> dict[str, object]:
        """The figures (mm) and the protocol, ready for JSON."""
        measures = {"mpjpe": self.mpjpe, "pa_mpjpe": self.pa_mpjpe, "pa_mpjpe_scaled": self.pa_mpjpe_scaled}
        figures = {
            name: {
                "mean_over_frames": average.frames,
                "mean_over_actions": average.actions,
                "per_action": average.per_action,
            }
            for name, average in measures.items()
        }
        return {
            "metric": "h36m",
            "unit": "mm",
            **figures,
            "actions": len(self.per_action_samples),
            "per_action_samples": self.per_action_samples,
            "paper_protocol": self.paper_protocol,
            "protocol": self.protocol.as_dict(),
        }

    def table(self) -> FigureTable:
        """Rows: the actions, then both averages. Columns: samples and the three measures, mm."""
        measures = (self.mpjpe, self.pa_mpjpe, self.pa_mpjpe_scaled)
        rows = [
            (name, str(count), *(cell(m.per_action[name]) for m in measures))
            for name, count in self.per_action_samples.items()
        ]
        actions = len(self.per_action_samples)
        if actions:
            rows.append((f"mean over {actions} actions", "", *(cell(m.actions) for m in measures)))
        rows.append(("mean over frames", str(self.protocol.samples), *(cell(m.frames) for m in measures)))
        columns = ("action", "samples", *MEASURES.values())
        return FigureTable("Human3.6M, mm", columns, tuple(rows))


def procrustes(predicted: Floats, truth: Floats, *, scale: bool) -> Doubles:
    """The predicted poses, each aligned to its truth by least squares; both (N, J, d), same unit -> (N, J, d).

    The alignment is a rotation and a translation, never a reflection; with `scale` also one factor per pose. A pose
    whose joints all lie at one point stays a point.
    """
    p, t = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    p_mean, t_mean = p.mean(1, keepdims=True), t.mean(1, keepdims=True)
    p, t = p - p_mean, t - t_mean
    u, s, vt = np.linalg.svd(np.swapaxes(p, 1, 2) @ t)
    # The best orthogonal matrix may be a reflection; the best rotation then reverses its weakest axis.
    sign = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    s[:, -1] *= sign
    u[:, :, -1] *= sign[:, None]
    aligned = p @ (u @ vt)
    if scale:
        size = (p**2).sum((1, 2))
        factor = np.divide(s.sum(1), size, out=np.zeros_like(size), where=size > 0)
        aligned *= factor[:, None, None]
    moved: Doubles = aligned + t_mean
    return moved


def joint_errors(predicted: Floats, truth: Floats, alignment: Alignment, *, joints: int = 17) -> Doubles:
    """The distance of every joint after alignment, mm. predicted, truth: (N, 17, 3) mm -> (N, 17), or (N, 16).

    "root" puts both pelvises (joint 0) at the origin, so the pelvis' own error is 0. joints=16 leaves the pelvis out,
    also for the Procrustes alignment.
    """
    p, t = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    p, t = p - p[:, :1], t - t[:, :1]
    if joints == 16:
        p, t = p[:, 1:], t[:, 1:]
    if alignment != "root":
        p = procrustes(p, t, scale=alignment == "similarity")
    distance: Doubles = np.linalg.norm(p - t, axis=-1)
    return distance


def evaluate(
    predicted: Floats,
    truth: Floats,
    action: npt.NDArray[np.integer] | None = None,
    subject: npt.NDArray[np.integer] | None = None,
    *,
    joints: int = 17,
    trained_on: Collection[int] | None = None,
    stride: str = "as given",
    boxes: str = "unknown",
    where: object = None,
) -> H36MResult:
    """MPJPE and both PA-MPJPEs of N predictions.

    predicted, truth: (N, 17, 3), mm, camera frame, `H36M17` order; the origin of the positions does not matter. action:
    (N,) Human3.6M's numbers 2 .. 16; subject: (N,) numbers 1 .. 11. joints: 17 averages over all joints, including the
    pelvis' zero (the usual convention); 16 leaves the pelvis out, which makes MPJPE 17/16 times as large. trained_on,
    stride, boxes and where only describe the predictions. Raises UserError for wrong shapes, no samples, or numbers
    that are not finite.
    """
    if joints not in JOINTS:
        raise UserError(f"an error over {joints} joints is not defined", expected="17 or 16")
    for name, array in (("the prediction", predicted), ("the ground truth", truth)):
        require_shape(name, array, (len(truth), 17, 3), where)
        require_finite(name + " is", array, H36M17.joints, where)
    if len(truth) == 0:
        raise UserError("there are no samples to score", where=where)
    for name, column in (("the action", action), ("the subject", subject)):
        if column is not None:
            require_shape(name, column, (len(truth),), where)
    groups = _by_action(action)
    measured = {a: _average(joint_errors(predicted, truth, a, joints=joints).mean(1), groups) for a in ALIGNMENTS}
    name = paper_protocol(subject, trained_on)
    return H36MResult(
        mpjpe=measured["root"],
        pa_mpjpe=measured["rigid"],
        pa_mpjpe_scaled=measured["similarity"],
        per_action_samples={name: int(mask.sum()) for name, mask in groups.items()},
        paper_protocol=name,
        protocol=Protocol(
            metric="MPJPE and PA-MPJPE",
            unit="mm",
            samples=len(truth),
            subjects="unknown" if subject is None else listed(subject, "S"),
            joints=JOINTS[joints],
            stride=stride,
            alignment=", ".join(f"{measure}: {ALIGNMENTS[a]}" for a, measure in MEASURES.items()),
            boxes=boxes,
            notes=(name,),
        ),
    )


def paper_protocol(subject: npt.NDArray[np.integer] | None, trained_on: Collection[int] | None) -> str:
    """The paper's name for these subjects: #1 is MPJPE on S9, S11; #2 is PA-MPJPE on S11. Both definitions include
    the training subjects. Other code bases swap the numbers, so the text always names the measure too.
    """
    protocols = {(9, 11): ("#1 (MPJPE)", {1, 5, 6, 7, 8}), (11,): ("#2 (PA-MPJPE)", {1, 5, 6, 7, 8, 9})}
    tested = () if subject is None else tuple(sorted({int(s) for s in subject}))
    if tested not in protocols:
        return "neither the paper's protocol #1 nor #2"
    name, training = protocols[tested]
    if trained_on is None:
        return f"tested as in the paper's protocol {name}, if trained on {listed(training, 'S')}"
    if set(trained_on) == training:
        return f"the paper's protocol {name}"
    others = listed(trained_on, "S") if trained_on else "none of Human3.6M"
    return f"tested as in the paper's protocol {name}, but trained on {others}"


def stride_of(frame: npt.NDArray[np.integer]) -> str:
    """A description of the frames (N,), by the greatest common divisor of their numbers, whatever the configuration."""
    step = int(np.gcd.reduce(frame)) if len(frame) else 0
    return f"frames that are multiples of {step}" if step > 1 else "the frames of the packed file"


def _by_action(action: npt.NDArray[np.integer] | None) -> dict[str, npt.NDArray[np.bool_]]:
    if action is None:
        return {}
    unknown = sorted({int(a) for a in action} - ACTIONS.keys())
    if unknown:
        raise UserError(f"there is no action {unknown[0]} in Human3.6M", expected="numbers 2 .. 16")
    return {name: action == number for number, name in ACTIONS.items() if (action == number).any()}


def _average(per_frame: Doubles, groups: dict[str, npt.NDArray[np.bool_]]) -> Average:
    per_action = {name: float(per_frame[mask].mean()) for name, mask in groups.items()}
    over_actions = float(np.mean(list(per_action.values()))) if per_action else None
    return Average(float(per_frame.mean()), over_actions, per_action)
