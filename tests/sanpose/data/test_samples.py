"""Samples and batches: weights by source, targets under augmentation, the same batches for any number of workers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sanpose.config.compose import compose, with_overrides
from sanpose.config.schema import Config
from sanpose.data import loader, packed, samples, sources
from sanpose.data.crop import CropView
from sanpose.errors import UserError
from sanpose.model.loss import coordinate_l1
from sanpose.pose.joints import UNION22
from tests.sanpose import tiny


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return compose(tiny.overrides(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def files(cfg: Config) -> dict[str, packed.Packed]:
    return sources.opened(cfg)


def test_2d_sources_have_no_depth_and_lack_their_joints(cfg: Config, files: dict[str, packed.Packed]) -> None:
    for name, lacking in (("mpii", {"torso", "nose"}), ("coco", {"torso", "neck", "head"})):
        part = samples.training(files[name], cfg.data, UNION22)
        assert not part.weight[..., 2].any() and not part.points[..., 2].any()
        missing = {UNION22.joints[j] for j in np.flatnonzero(~part.weight[..., 0].any(0))}
        faces = {"left_eye", "right_eye", "left_ear", "right_ear"} if name == "mpii" else set()
        assert missing == lacking | faces


def test_h36m_has_depth_on_its_18_joints(cfg: Config, files: dict[str, packed.Packed]) -> None:
    part = samples.training(files["h36m"], cfg.data, UNION22)
    assert part.weight[:, :18].all() and not part.weight[:, 18:].any()
    thorax = part.points[:, UNION22.index("thorax")]
    ends = part.points[:, [UNION22.index("left_shoulder"), UNION22.index("right_shoulder")]]
    assert np.allclose(thorax, ends.mean(1), atol=1e-3)
    assert np.allclose(part.points[:, 0, 2], 0)


def test_subjects_split_h36m_and_the_flag_splits_the_others(cfg: Config, files: dict[str, packed.Packed]) -> None:
    assert set(samples.training(files["h36m"], cfg.data, UNION22).column("subject")) == {1}
    assert set(samples.evaluation(files["h36m"], cfg.data, UNION22).column("subject")) == {9, 11}
    assert samples.evaluation(files["mpii"], cfg.data, UNION22).column("train").max() == 0


def test_no_sample_left_is_said(cfg: Config, files: dict[str, packed.Packed]) -> None:
    none = with_overrides(cfg, ["data.train_subjects=[5]"])
    with pytest.raises(UserError, match=r"subjects \[5\]"):
        samples.training(files["h36m"], none.data, UNION22)


def test_a_mirrored_target_swaps_sides_and_keeps_depth(cfg: Config, files: dict[str, packed.Packed]) -> None:
    part = samples.training(files["h36m"], cfg.data, UNION22)
    view = part.view(0, 64, 64)
    plain, _ = part.target(0, view, 64, 64)
    mirrored, _ = part.target(0, CropView(view.center, view.size, mirror=True), 64, 64)
    assert np.allclose(mirrored[UNION22.flip][:, 0], -plain[:, 0] - 1 / 64, atol=1e-6)
    assert np.allclose(mirrored[UNION22.flip][:, 1:], plain[:, 1:], atol=1e-6)


def test_zooming_out_makes_depth_smaller(cfg: Config, files: dict[str, packed.Packed]) -> None:
    part = samples.training(files["h36m"], cfg.data, UNION22)
    view = part.view(0, 64, 64)
    plain, _ = part.target(0, view, 64, 64)
    wide, _ = part.target(0, CropView(view.center, view.size, zoom=1.25), 64, 64)
    assert np.allclose(wide[:, 2] * 1.25, plain[:, 2], atol=1e-6)
    assert np.allclose(wide[:, :2] * 1.25, plain[:, :2], atol=1e-6)


def test_what_lies_outside_the_crop_weighs_nothing(cfg: Config, files: dict[str, packed.Packed]) -> None:
    part = samples.training(files["h36m"], cfg.data, UNION22)
    target, weight = part.target(0, CropView((48, 48), (30, 30)), 64, 64)
    outside = (np.abs(target[:, :2]) > 0.5).any(1)
    assert outside.any() and not weight[outside].any() and weight[~outside][:18, :2].any()


def test_gradient_to_depth_is_exactly_zero_for_2d(cfg: Config, files: dict[str, packed.Packed]) -> None:
    part = samples.training(files["mpii"], cfg.data, UNION22)
    target, weight = (torch.from_numpy(a)[None] for a in part.target(0, part.view(0, 64, 64), 64, 64))
    predicted = torch.rand(1, 22, 3, requires_grad=True)
    coordinate_l1(predicted, target, weight).total.backward()
    assert predicted.grad is not None
    assert not predicted.grad[..., 2].any() and predicted.grad[..., :2].any()


@pytest.mark.parametrize("name", ["mpii", "coco"])
def test_coordinates_of_unlabelled_joints_do_not_reach_the_loss(
    cfg: Config, files: dict[str, packed.Packed], name: str
) -> None:
    # Packed files of older versions may hold such coordinates.
    columns = dict(files[name].columns)
    columns["keypoints"], columns["visible"] = columns["keypoints"].copy(), columns["visible"].copy()
    columns["keypoints"][:, 5:7], columns["visible"][:, 5:7] = [[np.nan, 3], [np.inf, -np.inf]], 0
    part = samples.training(replace(files[name], columns=columns), cfg.data, UNION22)
    assert np.isfinite(part.points).all()
    target, weight = (torch.from_numpy(a)[None] for a in part.target(0, part.view(0, 64, 64), 64, 64))
    predicted = torch.rand(1, 22, 3, requires_grad=True)
    total = coordinate_l1(predicted, target, weight).total
    total.backward()
    assert predicted.grad is not None
    assert torch.isfinite(total) and torch.isfinite(predicted.grad).all()


def test_a_labelled_coordinate_that_is_not_finite_is_not_hidden(cfg: Config, files: dict[str, packed.Packed]) -> None:
    columns = {**files["mpii"].columns, "keypoints": files["mpii"].columns["keypoints"] * np.float32(np.nan)}
    part = samples.training(replace(files["mpii"], columns=columns), cfg.data, UNION22)
    assert np.isnan(part.points).any()


def test_loss_of_equal_parts_averages_to_the_whole() -> None:
    a, b, w = torch.rand(8, 5, 3), torch.rand(8, 5, 3), torch.rand(8, 5, 3).round()
    whole = coordinate_l1(a, b, w)
    parts = [coordinate_l1(a[i : i + 4], b[i : i + 4], w[i : i + 4]).total for i in (0, 4)]
    assert torch.isclose(whole.total, sum(parts) / 2)
    assert torch.isclose(whole.total, whole.plane + whole.depth)


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (4, 0), (1, 2)])
def test_batches_do_not_depend_on_ranks_or_loader_workers(
    cfg: Config, files: dict[str, packed.Packed], world: int, workers: int
) -> None:
    one = list(loader.batches(loader.training_set(cfg, files), (0, 0), 0, 1))
    shared = with_overrides(cfg, [f"data.loader_workers={workers}"])
    data = loader.training_set(shared, files)
    parts = [list(loader.batches(data, (0, 0), rank, world)) for rank in range(world)]
    assert len(one) == len(parts[0]) == 8
    for whole, pieces in zip(one, zip(*parts, strict=True), strict=True):
        for tensor, piece in zip(whole, zip(*pieces, strict=True), strict=True):
            assert torch.equal(tensor, torch.cat(piece))


def test_starting_later_gives_the_same_batches(cfg: Config, files: dict[str, packed.Packed]) -> None:
    data = loader.training_set(cfg, files)
    everything = list(loader.batches(data, (0, 0), 0, 1))
    later = list(loader.batches(data, (1, 2), 0, 1))
    assert len(later) == 2
    assert all(torch.equal(a, b) for x, y in zip(everything[6:], later, strict=True) for a, b in zip(x, y, strict=True))


def test_normalise_is_channels_last_and_imagenets() -> None:
    images = torch.full((2, 4, 6, 3), 128, dtype=torch.uint8)
    out = loader.normalise(images)
    assert out.shape == (2, 3, 4, 6) and out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(
        out[0, :, 0, 0], torch.tensor([(128 - m) / s for m, s in zip(loader.MEAN, loader.STD, strict=True)])
    )


def test_a_file_of_another_source_is_refused(cfg: Config) -> None:
    wrong = with_overrides(cfg, [f"data.sources.mpii.file={cfg.data.sources.coco.file}"])
    with pytest.raises(UserError, match="holds coco samples"):
        sources.opened(wrong)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.98])
def test_a_packed_file_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    path = tiny.write(tmp_path, "h36m")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
    with pytest.raises(UserError, match=r"cannot be read|not a packed"):
        packed.read(path)


def test_a_missing_packed_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        packed.read(tmp_path / "none.h5")


def test_the_fingerprint_follows_the_samples(tmp_path: Path) -> None:
    one, same = tiny.write(tmp_path / "a", "h36m"), tiny.write(tmp_path / "b", "h36m")
    other = tiny.write(tmp_path / "c", "h36m", seed=1)
    assert packed.head(one) == packed.head(same) != packed.head(other)


def test_the_subjects_that_were_trained_on_are_those_of_the_samples(
    cfg: Config, files: dict[str, packed.Packed]
) -> None:
    h36m = files["h36m"]
    assert samples.trained_subjects(h36m, cfg.data) == (1,), "the file has S1, S9, S11, whatever is asked for"
    testing = replace(h36m, columns={**h36m.columns, "subject": np.full(len(h36m), 9)})
    assert samples.trained_subjects(testing, cfg.data) == cfg.data.train_subjects
    none = replace(cfg.data.sources, h36m=replace(cfg.data.sources.h36m, share=0.0))
    assert samples.trained_subjects(h36m, replace(cfg.data, sources=none)) == ()
