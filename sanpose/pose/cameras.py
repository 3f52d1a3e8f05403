"""The pinhole camera with Human3.6M's lens distortion, extrinsics in any of the common conventions, and the projection
of a 2 m square around a person, which is the person's box.

Camera frame: x right, y down, z away from the camera, mm. Pixels: 0-based, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError

Floats = npt.NDArray[np.float64]

BOX_HALF_MM = 1000.0
"""Half the side of the square at the pelvis depth that is a person's box (Sun et al. 2018, Integral human pose)."""

SERIALS = ("54138969", "55011271", "58860488", "60457274")
"""Human3.6M's cameras 1 .. 4 by serial number."""

# In a studio of about 8 m x 6 m, a pelvis is 1.5 m to 10 m away from every camera.
_DEPTH_RANGE_MM = (1500.0, 10000.0)


def _zeros(count: int) -> Floats:
    return np.zeros(count)


@dataclass(frozen=True)
class Camera:
    """Intrinsics: size (width, height) px, focal lengths f (2,) px, principal point c (2,) px, radial k (3,) and
    tangential p (2,) distortion."""

    name: str
    size: tuple[int, int]
    f: Floats
    c: Floats
    k: Floats = field(default_factory=lambda: _zeros(3))
    p: Floats = field(default_factory=lambda: _zeros(2))

    def row(self) -> tuple[bytes, int, int, Floats, Floats, Floats, Floats]:
        """The camera as one element of `packed.CAMERA`."""
        return self.name.encode(), *self.size, self.f, self.c, self.k, self.p


@dataclass(frozen=True)
class Extrinsics:
    """World to camera: X_c = rotation @ X_w + translation, mm. `convention`: of the source."""

    rotation: Floats
    translation: Floats
    convention: str

    def apply(self, world: Floats) -> Floats:
        """World points (..., 3) mm -> camera frame (..., 3) mm."""
        moved: Floats = world @ self.rotation.T + self.translation
        return moved


def project(
    points: npt.NDArray[np.floating],
    f: npt.NDArray[np.floating],
    c: npt.NDArray[np.floating],
    k: npt.NDArray[np.floating] | None = None,
    p: npt.NDArray[np.floating] | None = None,
) -> Floats:
    """Camera-frame points (..., 3) mm -> pixels (..., 2).

    f, c: (..., 2) px, broadcast against the points. k (..., 3) radial, p (..., 2) tangential distortion, None for a
    bare pinhole: with u = (x, y)/z and r2 = |u|^2, u' = u (1 + k0 r2 + k1 r2^2 + k2 r2^3 + p0 y + p1 x) + (p1, p0) r2
    (Human3.6M's own projection).
    """
    points = np.asarray(points, np.float64)
    unit = points[..., :2] / points[..., 2:]
    if k is not None and p is not None:
        factor, shift = _distortion(unit, k, p)
        unit = unit * factor + shift
    pixels: Floats = unit * f + c
    return pixels


def _distortion(unit: Floats, k: npt.NDArray[np.floating], p: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The factor (..., 1) and the shift (..., 2) of `project`'s distortion at points (..., 2) of the plane z = 1."""
    r2 = (unit**2).sum(-1, keepdims=True)
    radial = 1 + k[..., 0:1] * r2 + k[..., 1:2] * r2**2 + k[..., 2:3] * r2**3
    tangential = p[..., 0:1] * unit[..., 1:] + p[..., 1:2] * unit[..., :1]
    return radial + tangential, p[..., ::-1] * r2


def undistort(
    pixels: npt.NDArray[np.floating],
    f: npt.NDArray[np.floating],
    c: npt.NDArray[np.floating],
    k: npt.NDArray[np.floating],
    p: npt.NDArray[np.floating],
) -> Floats:
    """Pixels (..., 2) of a bare pinhole camera: the inverse of the distortion in `project`.

    The fixed-point iteration is exact to 1e-3 px over Human3.6M's images.
    """
    distorted = (np.asarray(pixels, np.float64) - c) / f
    unit = distorted
    for _ in range(8):
        factor, shift = _distortion(unit, k, p)
        unit = (distorted - shift) / factor
    straight: Floats = unit * f + c
    return straight


def back_project(
    pixels: npt.NDArray[np.floating],
    z: npt.NDArray[np.floating],
    f: npt.NDArray[np.floating],
    c: npt.NDArray[np.floating],
) -> Floats:
    """Pixels (..., 2) at depths z (...) mm -> camera-frame points (..., 3) mm, by the bare pinhole."""
    z = np.asarray(z, np.float64)[..., None]
    return np.concatenate([(np.asarray(pixels, np.float64) - c) / f * z, z], -1)


def person_box(pelvis: npt.NDArray[np.floating], f: npt.NDArray[np.floating], c: npt.NDArray[np.floating]) -> Floats:
    """The box (..., 4) x, y, width, height px of the square pelvis +-1000 mm in x and y at the pelvis depth.

    pelvis: (..., 3) mm, camera frame; f, c: (..., 2) px. The box needs no padding, and may extend beyond the image.
    """
    low = project(pelvis - np.array([BOX_HALF_MM, BOX_HALF_MM, 0]), f, c)
    high = project(pelvis + np.array([BOX_HALF_MM, BOX_HALF_MM, 0]), f, c)
    return np.concatenate([low, high - low], -1)


def depth_is_plausible(depth: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """True (...) where a pelvis depth (...) mm is possible in Human3.6M's studio (in practice 3 to 8 m)."""
    near, far = _DEPTH_RANGE_MM
    return (depth > near) & (depth < far)


def detect_extrinsics(
    rotation: npt.NDArray[np.floating],
    shift: npt.NDArray[np.floating],
    pelvis: npt.NDArray[np.floating],
    camera: Camera,
    *,
    where: object,
) -> Extrinsics:
    """Extrinsics from a file's rotation (3, 3) and shift (3,), in the convention that fits world pelvises (n, 3) mm.

    Files of the same form differ: some write t = -R T, others the camera's centre T, some the inverse rotation, some
    metres. A convention fits when pelvises lie at a studio's distances and inside the picture. Without any pelvis, the
    first convention is assumed. Raises UserError where no convention fits nine pelvises in ten.
    """
    rotation = np.asarray(rotation, np.float64).reshape(3, 3)
    shift = np.asarray(shift, np.float64).reshape(3)
    if np.abs(shift).max() < 100:  # metres; a camera stands farther than 100 mm from the origin
        shift = shift * 1000
    candidates = [
        Extrinsics(rotation, shift, "X_c = R X + t (t = -R T)"),
        Extrinsics(rotation, -rotation @ shift, "X_c = R (X - T) (T: the camera's centre)"),
        Extrinsics(rotation.T, -rotation.T @ shift, "X_c = R^T (X - T) (R: camera to world)"),
    ]
    if not len(pelvis):
        return candidates[0]
    scores = [_share_in_view(candidate.apply(np.asarray(pelvis, np.float64)), camera) for candidate in candidates]
    best = int(np.argmax(scores))
    if scores[best] < 0.9:
        raise UserError(
            f"camera {camera.name} does not see its people in any supported convention of R and t "
            f"(at best {scores[best]:.0%} of {len(pelvis)} pelvises are in view, {_DEPTH_RANGE_MM[0] / 1000:g} to "
            f"{_DEPTH_RANGE_MM[1] / 1000:g} m away)",
            where=where,
            expected="t = -R T, or T (the camera's centre), with world coordinates in mm",
            hint="the cameras and the 3D positions may come from different releases",
        )
    return candidates[best]


def _share_in_view(pelvis: Floats, camera: Camera) -> float:
    good = depth_is_plausible(pelvis[:, 2])
    safe = np.where(good[:, None], pelvis, [0.0, 0.0, 1000.0])
    pixels = project(safe, camera.f, camera.c)
    # A person may stand slightly outside the picture.
    margin = 0.1 * np.array(camera.size)
    inside = ((pixels > -margin) & (pixels < np.array(camera.size) + margin)).all(-1)
    return float((good & inside).mean())
