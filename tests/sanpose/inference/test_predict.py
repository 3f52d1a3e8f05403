"""`sanpose predict`: geometry against a network that knows the truth, files, boxes, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from sanpose.cli import cli
from sanpose.data import crop, packed
from sanpose.errors import UserError
from sanpose.inference import photos as library
from sanpose.inference import trained
from sanpose.inference.boxes import Box, read_boxes
from sanpose.inference.photos import Photo
from sanpose.inference.predict import Person, Pinhole, arranged, predict
from sanpose.pose.cameras import person_box
from sanpose.pose.joints import TRAINING, to_training
from tests.sanpose.tiny_run import tiny_run


@pytest.fixture(scope="module")
def network() -> trained.TrainedNetwork:
    return trained.load(tiny_run())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three images, 96 x 96 px, and a file that is none of them."""
    folder = tmp_path / "images"
    folder.mkdir()
    file = packed.read(tiny_run().parents[1] / "h36m.h5")
    for i in range(3):
        (folder / f"{i:012d}.jpg").write_bytes(file.jpeg(i).tobytes())
    (folder / "notes.txt").write_text("not an image")
    return folder


def run(*arguments: object) -> Result:
    folder = tiny_run()
    common = ["predict", "--run", folder.name[:5], "--runs", folder.parent]
    return CliRunner().invoke(cli, [str(a) for a in [*common, *arguments]])


def refused(out: Path, *arguments: object) -> str:
    result = run("--out", out, *arguments)
    assert isinstance(result.exception, UserError), result.output + repr(result.exception)
    assert not out.exists()
    return str(result.exception)


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@dataclass(frozen=True)
class Oracle(trained.TrainedNetwork):
    """A network that knows the truth: answers (N, J, 3) in the network's frame, given out one after the other."""

    answers: Iterator[np.ndarray]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = np.stack([next(self.answers) for _ in images])
        return torch.from_numpy(chosen.astype(np.float32)), torch.full(chosen.shape[:2], 0.5)


def people_of(
    network: trained.TrainedNetwork, photos: list[Photo], **options: Any
) -> Iterator[tuple[Photo, list[Person]]]:
    return predict(network.config, network.forward, photos, **options)


def oracle(network: trained.TrainedNetwork, answers: Sequence[np.ndarray]) -> Oracle:
    return Oracle(**vars(network), answers=iter(answers))


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Two people's 22 joints: px (2, 22, 2) in the image, mm (2, 22, 3) in the camera frame."""
    file = packed.read(tiny_run().parents[1] / "h36m.h5")
    joints, ones = TRAINING["union22"], np.ones((2, 17))
    space = file.columns["keypoints3d"][:2].astype(np.float64)
    space = space - space[:, :1] + np.array([[[300.0, -200, 4000]], [[-400.0, 100, 4000]]])
    full, _ = to_training("h36m", joints, space, ones)
    full[:, 18:] = full[:, :1]  # Human3.6M has no eyes and ears
    return full[..., :2] / full[..., 2:] * 200 + 48, full.astype(np.float64)


@pytest.mark.parametrize("padding", [1.0, 1.25])
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
def test_with_a_camera_the_truth_comes_back_in_mm(
    network: trained.TrainedNetwork, images: Path, padding: float, size: tuple[int, int]
) -> None:
    pixels, space = truth()
    view_mm = 2000 * padding  # the box is Human3.6M's, a square of 2000 mm at the pelvis' depth
    width, height = size
    config = json.loads(json.dumps(network.config.plain()))
    config["data"] |= {"input_width": width, "input_height": height}
    boxes, answers = [], []
    for flat, pose in zip(pixels, space, strict=True):
        xywh = person_box(pose[0], np.array([200.0, 200]), np.array([48.0, 48]))
        view = crop.view_of(xywh, padding, width, height)
        xy = crop.normalised(crop.apply(crop.to_crop(view, width, height), flat), width, height)
        answers.append(np.column_stack([xy, (pose[:, 2] - pose[0, 2]) / view_mm]))
        boxes.append(Box(tuple(float(v) for v in xywh), padding))
    from dataclasses import replace

    from sanpose.config.compose import from_plain

    knows = oracle(replace(network, config=from_plain(config)), answers)
    photos = library.photos([images / "000000000000.jpg"], [boxes])
    camera = Pinhole((200.0, 200.0), (48.0, 48.0), 4000.0)
    [(_, people)] = people_of(knows, photos, camera=camera)
    for person, flat, pose in zip(people, pixels, space, strict=True):
        np.testing.assert_allclose(person.keypoints, flat, atol=0.01)
        np.testing.assert_allclose(person.pelvis, pose[0], atol=0.5)
        np.testing.assert_allclose(person.keypoints3d, pose - pose[0], atol=0.5)
    np.testing.assert_allclose(arranged(people, network.joints), space, atol=0.5)


def test_without_a_camera_the_shorter_side_is_2000_mm(network: trained.TrainedNetwork, images: Path) -> None:
    answer = np.zeros((22, 3))
    answer[1] = [0.25, -0.5, 0.1]
    answer[:, 2] += 0.03  # the pelvis' own depth is taken off
    photos = library.photos([images / "000000000000.jpg"], [[Box((10.0, 20.0, 40.0, 20.0))]])
    [(_, [person])] = people_of(oracle(network, [answer]), photos)
    np.testing.assert_allclose(person.keypoints3d[1], [500, -1000, 200], atol=0.01)
    np.testing.assert_allclose(person.keypoints3d[0], 0, atol=1e-9)
    np.testing.assert_allclose(person.keypoints[:2], [[30, 30], [42.5, 5]], atol=1e-4)  # 40 px x 1.25 are 2000 mm
    assert person.pelvis is None


def test_people_without_a_camera_stand_side_by_side_in_the_picture(
    network: trained.TrainedNetwork, images: Path
) -> None:
    boxes = [Box((0.0, 0.0, 40.0, 40.0), 1.0), Box((50.0, 0.0, 40.0, 40.0), 1.0)]
    photos = library.photos([images / "000000000000.jpg"], [boxes])
    [(_, people)] = people_of(oracle(network, [np.zeros((22, 3))] * 2), photos)
    np.testing.assert_allclose(arranged(people, network.joints)[:, 0], [[-1250, 0, 0], [1250, 0, 0]], atol=0.01)
    assert np.abs([p.keypoints3d for p in people]).max() < 1e-6


def test_folder_writes_three_files_for_each_image(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = run(images, "--out", out)
    assert result.exit_code == 0, repr(result.exception)
    assert "3 people in 3 images" in result.stdout
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"{i:012d}.{kind}" for i in range(3) for kind in ("json", "overlay.png", "skeleton3d.png")
    )
    document = json.loads((out / "000000000001.json").read_text())
    assert document["joints"] == list(TRAINING["union22"].joints)
    assert document["keypoints3d"]["unit"] == "mm"
    assert "weak perspective" in document["keypoints3d"]["scale"]
    assert "z away from the camera" in document["keypoints3d"]["frame"]
    [person] = document["people"]
    assert (person["box"], person["box_padding"]) == ([0, 0, 96, 96], 1)
    assert np.shape(person["keypoints"]) == (22, 2)
    assert np.shape(person["keypoints3d"]) == (22, 3)
    assert person["keypoints3d"][0] == [0, 0, 0]
    assert all(0 <= s <= 1 for s in person["scores"])
    overlay = cv2.imread(str(out / "000000000001.overlay.png"))
    assert overlay.shape == (96, 96, 3)
    assert (overlay != cv2.imread(str(images / "000000000001.jpg"))).any()


def test_batches_do_not_change_the_answers(network: trained.TrainedNetwork, images: Path) -> None:
    paths = library.find_images([images])
    boxes = [[Box((8.0, 8.0, 80.0, 80.0))] * 40, [], [Box((0.0, 0.0, 50.0, 90.0), score=0.3)]]
    together = list(people_of(network, library.photos(paths, boxes)))
    assert [len(people) for _, people in together] == [40, 0, 1]
    [(_, [alone])] = people_of(network, library.photos(paths[2:], boxes[2:]))
    np.testing.assert_allclose(together[2][1][0].keypoints, alone.keypoints, atol=1e-3)
    np.testing.assert_allclose(together[0][1][0].keypoints, together[0][1][39].keypoints, atol=1e-3)


def test_flip_test_averages_both_views(network: trained.TrainedNetwork, images: Path) -> None:
    paths = [images / "000000000000.jpg"]
    mirrored = images / "mirrored.png"
    cv2.imwrite(str(mirrored), cv2.imread(str(paths[0]))[:, ::-1])
    middle = [Box((16.0, 16.0, 64.0, 64.0), 1.0)]  # shown pixel by pixel, so that the crops are mirror images too
    photos = library.photos([*paths, mirrored], [middle, middle])
    (_, [a]), (_, [b]) = people_of(network, photos, flip_test=True)
    (_, [plain]), _ = people_of(network, photos)
    assert np.abs(plain.keypoints - a.keypoints).max() > 0.2
    flip = network.joints.flip
    np.testing.assert_allclose(b.keypoints[flip, 0], 95 - a.keypoints[:, 0], atol=0.1)
    np.testing.assert_allclose(b.keypoints3d[flip, 2], a.keypoints3d[:, 2], atol=10)  # JPEG is not symmetric


def test_coco_detections_name_images_by_number(images: Path, tmp_path: Path) -> None:
    detections = [
        {"image_id": 0, "bbox": [8, 8, 80, 80], "score": 0.9, "category_id": 1},
        {"image_id": 0, "bbox": [8, 8, 80, 80], "score": 0.1, "category_id": 1},
        {"image_id": 0, "bbox": [8, 8, 80, 80], "score": 0.9, "category_id": 2},
        {"file_name": "000000000002.jpg", "bbox": [0, 0, 9, 9]},
        {"image_id": 785, "bbox": [0, 0, 9, 9], "score": 1.0},
    ]
    boxes = read_boxes(written(tmp_path / "b.json", detections), library.find_images([images]), min_score=0.5)
    assert [[b.score for b in per_image] for per_image in boxes] == [[0.9], [], [None]]
    out = tmp_path / "out"
    assert run(images, "--boxes", tmp_path / "b.json", "--out", out).exit_code == 0
    assert [len(json.loads(p.read_text())["people"]) for p in sorted(out.glob("*.json"))] == [2, 0, 1]
    assert len(list(out.glob("*.png"))) == 6


def test_boxes_by_file_name_with_a_camera(images: Path, tmp_path: Path) -> None:
    boxes = written(tmp_path / "b.json", {f"{i:012d}.jpg": [[8, 8, 80, 80]] * i for i in range(3)})
    out = tmp_path / "out"
    result = run(
        images, "--boxes", boxes, "--out", out, "--camera", "200,200,48,48", "--root-depth", 5000, "--padding", 1
    )
    assert result.exit_code == 0, repr(result.exception)
    document = json.loads((out / "000000000002.json").read_text())
    assert [p["box_padding"] for p in document["people"]] == [1, 1]
    assert [p["pelvis"][2] for p in document["people"]] == [5000, 5000]
    assert "pinhole" in document["keypoints3d"]["scale"]


BAD_BOXES = [
    ("{", "broken JSON"),
    ("3", "the boxes are a int"),
    ('[{"bbox": [1, 2, 3, 4]}]', "this is not a detection"),
    ('[{"image_id": 0, "bbox": [1, 2, 3]}]', "the box is [1, 2, 3]"),
    ('[{"image_id": 0, "bbox": [1, 2, 3, NaN]}]', "the box is [1, 2, 3, nan]"),
    ('[{"image_id": 0, "bbox": [1, 2, 0, 4]}]', "has no size"),
    ('[{"image_id": 0, "bbox": [1, 2, 3, 4], "score": "high"}]', "the score is 'high'"),
    ('[{"image_id": 0, "bbox": [96, 2, 3, 4]}]', "lies outside the image of 96 x 96 px"),
    ('[{"image_id": 7, "bbox": [1, 2, 3, 4]}]', "there is no box for 000000000000.jpg"),
    ('{"000000000000.jpg": [[1, 2, 3, 4]]}', "there is no box for 000000000001.jpg and 1 more images"),
    ('{"000000000000.jpg": [1, 2, 3, 4]}', "the box is 1"),
    ('{"000000000000.jpg": null}', "are a NoneType"),
]


@pytest.mark.parametrize(("text", "message"), BAD_BOXES)
def test_bad_boxes(images: Path, tmp_path: Path, text: str, message: str) -> None:
    boxes = tmp_path / "b.json"
    boxes.write_text(text)
    error = refused(tmp_path / "out", images, "--boxes", boxes)
    assert message in error
    assert str(boxes) in error or "000000000000.jpg" in error


def test_bad_images(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no such image" in refused(out, images / "none.jpg")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refused(out, tmp_path / "empty")
    assert "not an image that can be decoded" in refused(out, images / "notes.txt")
    whole = (images / "000000000000.jpg").read_bytes()
    (images / "short.jpg").write_bytes(whole[: len(whole) // 2])
    assert "cut short" in refused(out, images / "short.jpg")
    (images / "short.jpg").write_bytes(b"")
    assert "not an image" in refused(out, images / "short.jpg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "200,200,48,48"], "--camera and --root-depth need each other"),
        (["--root-depth", "4000"], "--camera and --root-depth need each other"),
        (["--camera", "200,200,48", "--root-depth", "4000"], "'200,200,48' is not a camera"),
        (["--camera", "200,-1,48,48", "--root-depth", "4000"], "is not a camera"),
        (["--camera", "200,200,48,48", "--root-depth", "-4"], "cannot see a pelvis"),
        (["--checkpoint", "newest"], "there is no checkpoint 'newest'"),
        (["--boxes", "none.json"], "cannot be read"),
        (["--min-score", "0.5"], "--min-score has no effect without --boxes"),
        (["--padding", "1.25"], "--padding has no effect without --boxes"),
    ],
)
def test_bad_options(images: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(tmp_path / "out", images, *arguments)


def test_a_file_is_not_a_folder(images: Path, tmp_path: Path) -> None:
    result = run(images, "--out", written(tmp_path / "file", 1))
    assert "folder of the results is a file" in str(result.exception)
