"""The input pipeline against bare JPEG decoding: images per second of one core, interleaved in one run.

    python -m bench.data.input_pipeline [--rounds 10]

Made-up photographs of Human3.6M's and MPII's sizes go into packed files in a temporary folder. Bare decoding is OpenCV
making the whole image from JPEG bytes that are in memory already; the pipeline reads the same bytes from the packed
file, decodes, augments, warps the crop and makes the target. Both take turns on every image in this process, with one
thread; the time is the processor's, so that other programs disturb it little. Then the same samples as batches from two
loader processes: processor time of all processes, starting and handing over included, and images per second of wall
time. Prints a Markdown table.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from bench import table
from sanpose.config.compose import compose
from sanpose.config.schema import SOURCES, Config
from sanpose.data import loader, packed
from sanpose.pose.joints import NATIVE

IMAGES, BATCH = 40, 8
LOADED = 5  # as many more rounds through loader processes, which take a while to start
SIZES = ((256, 256), (288, 384))
CAMERA = np.array([(b"54138969", 1000, 1002, (1145.0,) * 2, (512.0,) * 2, (0,) * 3, (0,) * 2)], packed.CAMERA)


@dataclass(frozen=True)
class Kind:
    """What a data set's images look like: px, JPEG quality (together about the size of the real files), and the range
    of the persons' boxes: width, height in px."""

    width: int
    height: int
    quality: int
    smallest: tuple[int, int]
    largest: tuple[int, int]


# 2 m at Human3.6M's 1145 px focal length and 4 to 6 m; MPII's persons of half to nearly the whole height.
KINDS = {"h36m": Kind(1000, 1002, 80, (380, 380), (570, 570)), "mpii": Kind(1280, 720, 92, (150, 350), (450, 650))}


def photograph(kind: Kind, random: np.random.Generator) -> bytes:
    """A JPEG of soft blobs with fine grain."""
    small = random.integers(0, 256, (kind.height // 64, kind.width // 64, 3), np.uint8)
    grain = random.normal(0, 4, (kind.height, kind.width, 3)).astype(np.float32)
    image = cv2.resize(small, (kind.width, kind.height), interpolation=cv2.INTER_CUBIC) + cv2.GaussianBlur(
        grain, (3, 3), 0
    )
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, kind.quality])[1].tobytes())


def write(path: Path, source: str) -> packed.Packed:
    """A packed file of one source, all of it for training, one person an image."""
    kind, random = KINDS[source], np.random.default_rng(0)
    jpegs = [photograph(kind, random) for _ in range(IMAGES)]
    size = random.uniform(kind.smallest, kind.largest, (IMAGES, 2))
    box = np.concatenate([random.uniform(0, 1, (IMAGES, 2)) * ([kind.width, kind.height] - size), size], 1)
    joints = len(NATIVE[source])
    columns: dict[str, Any] = {
        "image": np.arange(IMAGES),
        "annotation": np.arange(IMAGES),
        "box": box,
        "keypoints": box[:, None, :2] + random.uniform(0, 1, (IMAGES, joints, 2)) * size[:, None],
        "visible": np.full((IMAGES, joints), 2),
    }
    extra = {}
    if source == "h36m":
        columns["keypoints3d"] = random.uniform(-700, 700, (IMAGES, joints, 3))
        columns |= {name: np.full(IMAGES, value) for name, value in (("camera", 0), ("subject", 1), ("action", 2))}
        columns |= {"subaction": np.ones(IMAGES), "frame": np.arange(IMAGES) * 5}
        extra["cameras"] = CAMERA
    else:
        columns |= {"headbox": box, "train": np.ones(IMAGES)}
    packed.write(
        path,
        source,
        jpegs=jpegs,
        lengths=np.array([len(jpeg) for jpeg in jpegs]),
        names=[f"{i}.jpg" for i in range(IMAGES)],
        sizes=np.tile([kind.width, kind.height], (IMAGES, 1)),
        columns=columns,
        extra=extra,
        synthetic=True,
    )
    return packed.read(path)


def settings(source: str, size: tuple[int, int], epochs: int, workers: int) -> Config:
    """The paper's augmentation on one source."""
    shares = [f"data.sources.{name}.share={int(name == source)}" for name in SOURCES]
    shape = [f"data.input_width={size[0]}", f"data.input_height={size[1]}", f"data.loader_workers={workers}"]
    train = [f"train.batch_size={BATCH}", f"train.epochs={epochs}", "train.workers=1", "train.checkpoint_steps=0"]
    return compose(["preset=paper", "train.milestones=[]", *shares, *shape, *train])


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    start = time.process_time()
    call()
    return time.process_time() - start


def rates(data: loader.TrainingSet, file: packed.Packed, rounds: int) -> tuple[list[float], list[float]]:
    """Images per second of bare decoding and of the pipeline, one figure per round over all images."""
    jpegs = [file.jpeg(i) for i in range(IMAGES)]
    decoding, pipeline = [], []
    for epoch in range(rounds + 1):
        bare = whole = 0.0
        for index in range(IMAGES):
            bare += seconds(lambda jpeg=jpegs[index]: cv2.imdecode(jpeg, cv2.IMREAD_COLOR))  # type: ignore[misc]
            whole += seconds(lambda place=(epoch, index): data[place])  # type: ignore[misc]
        if epoch > 0:  # the first round warms up
            decoding.append(IMAGES / bare)
            pipeline.append(IMAGES / whole)
    return decoding, pipeline


def loaded(data: loader.TrainingSet) -> tuple[float, float]:
    """Images per processor second and per second of wall time, of batches from loader processes."""
    start, before = time.perf_counter(), processor_seconds()
    images = sum(len(batch[0]) for batch in loader.batches(data, (0, 0), 0, 1))
    return images / (processor_seconds() - before), images / (time.perf_counter() - start)


def processor_seconds() -> float:
    """Of this process and of those it started that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def compare(file: packed.Packed, size: tuple[int, int], rounds: int, workers: int) -> None:
    """The rows of one source and input size."""
    config = settings(file.source, size, rounds, 0)
    data = loader.training_set(config, {file.source: file})
    decoding, pipeline = rates(data, file, rounds)
    ratios = [p / d for p, d in zip(pipeline, decoding, strict=True)]
    bare = statistics.median(decoding)
    kind, kilobytes = KINDS[file.source], file.image_end[-1] / IMAGES / 1e3
    images = f"{file.source} {kind.width}x{kind.height}, {kilobytes:.0f} kB"
    crop = f"{size[0]}x{size[1]}"
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    table.row(images, crop, "this process", f"{bare:.0f}", f"{statistics.median(pipeline):.0f}", spread, "")
    if workers:
        several = settings(file.source, size, LOADED * rounds, workers)
        core, wall = loaded(dataclasses.replace(data, config=several))
        name = f"{workers} loader processes"
        table.row(images, crop, name, f"{bare:.0f}", f"{core:.0f}", f"{core / bare:.2f}", f"{wall:.0f}")


@click.command()
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(min=1), help="Times all images are seen.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=0), help="Loader processes.")
def main(rounds: int, workers: int) -> None:
    """Compare the input pipeline with bare JPEG decoding."""
    cv2.setNumThreads(0)
    click.echo(f"{IMAGES} images a source, {rounds} rounds, OpenCV {cv2.__version__}, batches of {BATCH}\n")
    table.head("images", "crop", "pipeline in", "decoding img/s per core", "pipeline img/s per core", "ratio", "img/s")
    with tempfile.TemporaryDirectory() as folder:
        for source in KINDS:
            file = write(Path(folder) / f"{source}.h5", source)
            for size in SIZES:
                compare(file, size, rounds, workers)


if __name__ == "__main__":
    main()
