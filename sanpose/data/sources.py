"""The packed files that a configuration names, and their mix. Does not import torch."""

from __future__ import annotations

from sanpose.config.schema import Config
from sanpose.data import packed, samples
from sanpose.data.mix import Mix
from sanpose.errors import UserError
from sanpose.pose.joints import TRAINING


def opened(config: Config) -> dict[str, packed.Packed]:
    """The packed files that the training or the evaluation needs, by source. Raises UserError for a wrong one."""
    files = {}
    for name, source in config.data.sources.items():
        if source.share <= 0 and name not in config.eval.sets:
            continue
        files[name] = packed.read(source.file)
        if files[name].source != name:
            hint = f"data.sources.{name}.file=<a file made by `sanpose data prepare {name}`>"
            raise packed.wrong_source(files[name], name, hint)
    return files


def mixed(config: Config, files: dict[str, packed.Packed]) -> tuple[tuple[samples.Samples, ...], Mix]:
    """The training samples of the sources that have a share, and their mix. Raises UserError when a source has none,
    and when an epoch is smaller than a batch."""
    joints = TRAINING[config.model.joints]
    used = config.data.sources.used()
    parts = tuple(samples.training(files[name], config.data, joints) for name in used)
    shares = tuple(source.share for source in used.values())
    mix = Mix(tuple(len(p) for p in parts), shares, config.train.seed, config.data.epoch_samples)
    if mix.length < config.train.batch_size:
        raise UserError(
            f"an epoch has {mix.length} samples, fewer than one batch of {config.train.batch_size}",
            where=", ".join(used),
            hint=f"a smaller train.batch_size, or data.epoch_samples={config.train.batch_size}",
        )
    return parts, mix


def predicted(config: Config, name: str, file: packed.Packed) -> samples.Samples:
    """The samples of a set to predict: its evaluation samples, or COCO's detected boxes. Raises UserError for none."""
    joints = TRAINING[config.model.joints]
    if uses_detections(config, name):
        return samples.detections(file, joints)
    return samples.evaluation(file, config.data, joints)


def uses_detections(config: Config, name: str) -> bool:
    """Whether a set is measured on detected boxes."""
    return name == "coco" and config.eval.boxes == "detected"


def check(config: Config, files: dict[str, packed.Packed]) -> None:
    """Check the data before a run starts. files: `opened`. Raises UserError as `mixed` and `predicted` do."""
    mixed(config, files)
    for name in config.eval.sets:
        predicted(config, name, files[name])
