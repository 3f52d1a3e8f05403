"""Which JPEG files are whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sanpose.data import jpeg_files


def encoded(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    options = {
        "baseline": [],
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
    }
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 2), options[kind])[1].tobytes()


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts"])
@pytest.mark.parametrize("tail", [b"", b"\0" * 60_000, b"\xff\xd8 another picture"], ids=["none", "zeros", "picture"])
def test_bytes_after_the_end_are_fine(tmp_path: Path, kind: str, tail: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(kind) + tail)
    jpeg = jpeg_files.load(path, (48, 64))
    assert jpeg.data == path.read_bytes()
    assert jpeg_files.check(jpeg.data) == jpeg


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts"])
def test_wherever_it_is_cut_it_is_refused(kind: str) -> None:
    whole = encoded(kind)
    for end in range(2, len(whole) - 1, 7):
        with pytest.raises(jpeg_files.BadImageError, match=r"cut short|frame header"):
            jpeg_files.check(whole[:end])


def test_the_end_of_an_embedded_preview_is_not_the_end(tmp_path: Path) -> None:
    preview, exif = encoded("baseline"), Image.Exif()
    exif[0x010E] = preview.decode("latin-1")  # a text with an end marker in it
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(path, exif=exif)
    whole = path.read_bytes()
    assert jpeg_files.load(path).width == 300
    with pytest.raises(jpeg_files.BadImageError, match="cut short"):
        jpeg_files.check(whole[:-1000])


def test_a_mark_of_a_very_large_image_is_read_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "large.png"
    Image.new("1", (20_000, 10_000)).save(path, exif=exif)
    assert jpeg_files.is_turned(path.read_bytes())
    assert not list(recwarn)
