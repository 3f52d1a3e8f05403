"""`sanpose predict` on pictures as people have them: turned, damaged, oddly named, named alike."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sanpose.inference import photos
from tests.sanpose.tiny_run import tiny_run

GREY = np.full((96, 96, 3), 120, np.uint8)
HUGE = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 2))[1].tobytes()


def damaged() -> dict[str, bytes]:
    """Files that no decoder reads, and about most of which a library prints something itself."""
    whole = jpeg()
    pixels = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    middle = len(png) // 2
    broken = png[:middle] + bytes([png[middle] ^ 0x55]) + png[middle + 1 :]
    return {
        "broken.png": broken,
        "cut.png": png[:middle],
        "cut.jpg": whole[: len(whole) // 2],
        "cut.tif": cv2.imencode(".tif", pixels)[1].tobytes()[:1000],
        "cut.bmp": cv2.imencode(".bmp", pixels)[1].tobytes()[:1000],
        "huge.png": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", HUGE)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b""),
        "text.png": b"not a picture",
        "empty.jpg": b"",
    }


def predicted(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What a real process prints: a library writes past Python."""
    run = tiny_run()
    command = [
        Path(sys.executable).with_name("sanpose"),
        "predict",
        "--run",
        run.name,
        "--runs",
        run.parent,
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="surrogateescape")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_an_orientation_mark_turns_the_image_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((40, 80, 3), np.uint8)
    upright[:20, :40], upright[20:, 40:] = (220, 0, 0), (0, 0, 220)
    # The stored pixels from which each mark leads to the upright image (CIPA DC-008, Orientation).
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
        6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    read = photos.read_image(path).astype(float)
    assert read.shape == upright.shape
    assert np.abs(read - upright).mean() < 12


def test_a_bad_picture_does_not_end_the_others_and_no_library_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, content in damaged().items():
        (folder / name).write_bytes(content)
    whole = bytearray(jpeg())
    middle = len(whole) // 2
    whole[middle : middle + 20] = b"\xff\x13" * 10  # libjpeg: "Corrupt JPEG data"
    (folder / "scratched.jpg").write_bytes(whole)
    Image.fromarray(GREY).save(folder / "whole.png", icc_profile=b"bad" * 9)  # libpng: "iCCP: too short"
    done = predicted(tmp_path, "images")
    assert done.returncode == 1
    assert "2 people in 2 images" in done.stdout
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert names == {f"{n}.{end}" for n in ("scratched", "whole") for end in ("json", "overlay.png", "skeleton3d.png")}
    lines = done.stderr.splitlines()
    assert lines[-1] == f"{len(damaged())} of {len(damaged()) + 2} images could not be read"
    assert all(line.startswith(("error: ", "  where: ", "  expected: ")) for line in lines[:-1]), done.stderr
    assert [line.rpartition("/")[2] for line in lines if "where:" in line] == sorted(damaged())
    only = predicted(tmp_path, "images/cut.png")
    assert only.returncode == 2 and only.stderr.startswith("error: the file is not an image")


def test_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    names = ["a_$\\frac$.jpg", "漢字 🙂.jpg", os.fsdecode(b"n\xff.jpg"), "two\nlines.jpg", "-dash.jpg", "100%_{x}.jpg"]
    for name in names:
        (folder / name).write_bytes(jpeg())
    done = predicted(tmp_path, "images")
    assert done.returncode == 0 and not done.stderr, done.stderr
    for name in names:
        document = json.loads((tmp_path / "predictions" / f"{Path(name).stem}.json").read_text())
        assert document["image"] == name
        assert (tmp_path / "predictions" / f"{Path(name).stem}.skeleton3d.png").is_file()


def test_images_of_one_name(tmp_path: Path) -> None:
    for place in ("x/a/p1.jpg", "x/b/p1.jpg", "y/b/p1.jpg", "x/a/p2.jpg", "x/a/p2.png", "p3.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(jpeg())
    done = predicted(tmp_path, "x/a", "x/b", "y/b", "p3.jpg", "x/a/../a/p2.jpg")
    assert done.returncode == 0 and "6 people in 6 images" in done.stdout
    out = tmp_path / "predictions"
    results = {str(path.relative_to(out).with_suffix("")) for path in out.rglob("*.json")}
    assert results == {"a/p1", "x/b/p1", "y/b/p1", "p2.jpg", "p2.png", "p3"}
    (tmp_path / "b.json").write_text(json.dumps({"p1.jpg": [[1, 2, 30, 40]]}))
    refused = predicted(tmp_path, "x/a/p1.jpg", "x/b/p1.jpg", "--boxes", "b.json")
    assert refused.returncode == 2 and "may belong to x/a/p1.jpg or to x/b/p1.jpg" in refused.stderr
    boxes = {"x/a/p1.jpg": [[1, 2, 30, 40]], "x/b/p1.jpg": [[5, 6, 30, 40], [7, 8, 30, 40]]}
    (tmp_path / "b.json").write_text(json.dumps(boxes))
    assert "3 people in 2 images" in predicted(tmp_path, "x/a/p1.jpg", "x/b/p1.jpg", "--boxes", "b.json").stdout
