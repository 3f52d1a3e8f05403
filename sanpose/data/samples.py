"""A source's samples for the network: selected rows of a packed file, in a training joint set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sanpose.config.schema import AugmentConfig, DataConfig
from sanpose.data import crop, packed
from sanpose.data.array_files import Array
from sanpose.errors import UserError
from sanpose.pose.joints import JointSet, to_training


@dataclass(frozen=True)
class Samples:
    """Rows of one packed file. `points` (N, J, 3): x, y in image px, z in mm relative to the pelvis, 0 without 3D;
    `weight` (N, J, 3): 0 for an unknown coordinate, so the weight of every depth of a 2D source is 0."""

    file: packed.Packed
    rows: npt.NDArray[np.int64]
    points: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    joints: JointSet

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: npt.NDArray[np.int64]) -> Samples:
        """The samples at `index` (n,), in its order."""
        return replace(self, rows=self.rows[index], points=self.points[index], weight=self.weight[index])

    def column(self, name: str) -> Array:
        """A column of the packed file for these rows."""
        return np.asarray(self.file.columns[name][self.rows])

    def view(self, index: int, width: int, height: int) -> crop.CropView:
        """The plain (not augmented) view of one sample."""
        box = self.file.columns["box"][self.rows[index]]
        return crop.view_of(box, packed.BOX_PADDING[self.file.source], width, height)

    def image(self, index: int, view: crop.CropView, width: int, height: int) -> npt.NDArray[np.uint8]:
        """The crop (H, W, 3) uint8 RGB of one sample."""
        image = int(self.file.columns["image"][self.rows[index]])
        where = f"{self.file.path}: {self.file.image_name[image]}"
        return crop.crop(self.file.jpeg(image), view, width, height, where)

    def target(
        self, index: int, view: crop.CropView, width: int, height: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(coordinates (J, 3), weight (J, 3)) in the network's frame.

        Depth is divided by the side of the visible region, which grows with the zoom. The weight of a coordinate
        outside the network's range (the crop, the depth range) is 0.
        """
        points, weight = self.points[index], self.weight[index]
        flat = crop.normalised(crop.apply(crop.to_crop(view, width, height), points[:, :2]), width, height)
        out = np.column_stack([flat, points[:, 2] / (crop.DEPTH_MM * view.zoom)]).astype(np.float32)
        if view.mirror:
            out, weight = out[self.joints.flip], weight[self.joints.flip]
        inside = (np.abs(out[:, :2]) <= 0.5).all(1, keepdims=True)
        weight = weight * inside
        weight[:, 2] *= np.abs(out[:, 2]) <= 0.5
        return out, weight


def training(file: packed.Packed, data: DataConfig, joints: JointSet) -> Samples:
    """The training samples: Human3.6M's by subject and stride, other sources' by their training split.

    Raises UserError for none.
    """
    rows = _rows(file, data.train_subjects, data.train_stride, split=1)
    return _samples(file, rows, joints, "training", f"subjects {list(data.train_subjects)}, stride {data.train_stride}")


def trained_subjects(file: packed.Packed, data: DataConfig) -> tuple[int, ...]:
    """Human3.6M's subjects among the training samples: those in this file; without any, as in a file packed for testing
    only, those of the configuration; none where Human3.6M has no share."""
    if data.sources.h36m.share <= 0:
        return ()
    rows = _rows(file, data.train_subjects, data.train_stride, split=1)
    return tuple(int(s) for s in np.unique(file.columns["subject"][rows])) or data.train_subjects


def evaluation(file: packed.Packed, data: DataConfig, joints: JointSet) -> Samples:
    """The evaluation samples: Human3.6M's by subject and stride, other sources' by their evaluation split.

    Raises UserError for none.
    """
    rows = _rows(file, data.test_subjects, data.test_stride, split=0)
    return _samples(file, rows, joints, "evaluation", f"subjects {list(data.test_subjects)}, stride {data.test_stride}")


def detections(file: packed.Packed, joints: JointSet) -> Samples:
    """COCO's detected boxes as samples without labels; their columns are image, box, image_id and score.

    Raises UserError when the file was prepared without detections.
    """
    if "detections" not in file.extra or not len(file.extra["detections"]):
        raise UserError(
            "this packed file has no detected boxes",
            where=file.path,
            hint="`sanpose data prepare coco --detections FILE.json`, or eval.boxes=ground_truth",
        )
    boxes = file.extra["detections"]
    blank = np.zeros((len(boxes), len(joints), 3), np.float32)
    columns = {name: boxes[name] for name in ("image", "box", "image_id", "score")}
    return Samples(replace(file, columns=columns), np.arange(len(boxes)), blank, blank, joints)


def _rows(file: packed.Packed, subjects: Sequence[int], stride: int, split: int) -> npt.NDArray[np.int64]:
    columns = file.columns
    if file.source == "h36m":
        return np.flatnonzero(np.isin(columns["subject"], subjects) & (columns["frame"] % stride == 0))
    return np.flatnonzero(columns["train"] == split)


def _samples(file: packed.Packed, rows: npt.NDArray[np.int64], joints: JointSet, purpose: str, chosen: str) -> Samples:
    if not len(rows):
        raise UserError(
            f"the file has no sample for {purpose}",
            where=file.path,
            expected=f"samples with {chosen}" if file.source == "h36m" else f"samples of the {purpose} split",
            hint="`sanpose data check` lists the content of the file",
        )
    columns = file.columns
    labelled = (columns["visible"][rows] > 0).astype(np.float32)
    pixels = packed.fill_unlabelled(columns["keypoints"][rows], labelled)
    flat, weight = to_training(file.source, joints, pixels, labelled)
    depth = np.zeros((*flat.shape[:2], 1), np.float32)
    depth_weight = np.zeros_like(weight)
    if "keypoints3d" in columns:
        space = columns["keypoints3d"][rows].astype(np.float64)
        relative = (space - space[:, :1])[..., 2:]
        depth, depth_weight = to_training(file.source, joints, relative, labelled)
    return Samples(
        file=file,
        rows=rows,
        points=np.concatenate([flat, depth], -1),
        weight=np.stack([weight, weight, depth_weight], -1),
        joints=joints,
    )


@dataclass(frozen=True)
class Item:
    """One training sample: image (H, W, 3) uint8 RGB, target (J, 3), weight (J, 3), in the network's frame."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


def item(
    samples: Samples, index: int, width: int, height: int, augment: AugmentConfig, random: np.random.Generator
) -> Item:
    """One augmented training sample. Equal generator states give equal items."""
    view = crop.augmented(samples.view(index, width, height), augment, random)
    target, weight = samples.target(index, view, width, height)
    return Item(samples.image(index, view, width, height), target, weight)
