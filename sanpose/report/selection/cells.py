"""Which cell of the paper's Table 1 a run stands for.

Told by the run's settings, as the shipped YAML defines the cells at the scale of the run's preset. So a run of any
sweep is found, whatever it calls itself, and a variant of a cell (another initial delta) isn't taken for it. A run's
own label counts only where its settings fit no cell and are no variant: a cell at a scale of someone's own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sanpose.config.schema import NUISANCE
from sanpose.errors import UserError
from sanpose.runs.ledger import RunRecord

LETTERS = "abcdefg"
# What makes a cell. Everything else that defines a run must be the same in the runs that are compared.
SCALED = (
    "model.backbone", "data.input_width", "data.input_height", "data.sources.mpii.share", "data.sources.coco.share",
    "eval.flip_test",
)  # fmt: skip
_VARIANTS = {"model.delta_init": 0.0, "model.attention_scale": False, "model.attention_position": False}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
SETTINGS = (*SCALED, "model.attention", *_VARIANTS)
# Keys of the YAML that don't say how a cell is trained, or are compared as SETTINGS.
_NOT_TRAINED = {
    *NUISANCE,
    *SETTINGS,
    "train.seed",
    "defaults",
    "scale.shallow",
    "scale.deep",
    "scale.square",
    "scale.tall",
}


@dataclass(frozen=True)
class CellDefinition:
    """A cell at a preset's scale: its SETTINGS, and the whole configuration as the YAML has it."""

    settings: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """`letter`: the cell, "" for none. `strays`: the settings in which a run is not that cell as defined, in words."""

    letter: str = ""
    strays: tuple[str, ...] = ()


def definitions(config_dir: Path, presets: Collection[str]) -> dict[str, dict[str, CellDefinition]]:
    """Preset -> letter -> the cell at that preset's scale, for those presets that are shipped.

    The YAML is merged and resolved here, since composing with Hydra takes seconds. Raises UserError when it can't be
    read.
    """
    shipped = {p.stem: p for p in (config_dir / "preset").glob("*.yaml") if p.stem in presets}
    if not shipped:
        return {}
    base = _read(config_dir / "config.yaml")
    cells = {letter: _read(config_dir / "ablation" / f"{letter}.yaml") for letter in LETTERS}
    found: dict[str, dict[str, CellDefinition]] = {}
    for name, path in shipped.items():
        scaled = _merged(base, _read(path))
        merged = {letter: _merged(scaled, cell) for letter, cell in cells.items()}
        configs = {letter: _resolved(cell, cell) for letter, cell in merged.items()}
        found[name] = {x: CellDefinition({k: setting(c, k) for k in SETTINGS}, c) for x, c in configs.items()}
    return found


def standing(run: RunRecord, defined: Mapping[str, CellDefinition]) -> Standing:
    """The cell that a run stands for; defined: what `definitions` has for the run's preset."""
    own = {key: setting(run.config, key, _VARIANTS.get(key)) for key in SETTINGS}
    for letter, cell in defined.items():
        if own == cell.settings:
            return Standing(letter)
    label = _label(run)
    if not label or own["model.attention"] == "channel" or any(own[k] != v for k, v in _VARIANTS.items()):
        return Standing()
    usual = defined[label].settings if label in defined else {}
    return Standing(label, tuple(_instead(k, own[k], usual[k]) for k in SETTINGS if k in usual and own[k] != usual[k]))


def changes(run: RunRecord, defined: Mapping[str, CellDefinition], letter: str) -> tuple[str, ...]:
    """In what a run of a cell was trained otherwise than its preset says as shipped, in words."""
    found = _differences(run.config, defined[letter].config) if letter in defined else ()
    return tuple(_instead(key, own, usual) for key, own, usual in found if key not in _NOT_TRAINED)


def setting(config: Mapping[str, Any], dotted: str, default: Any = None) -> Any:
    """A configuration's value by its dotted key, the default where it has none."""
    value: Any = config
    for key in _parts(dotted):
        value = value.get(key) if isinstance(value, dict) else None
    return default if value is None else value


@functools.cache
def _parts(dotted: str) -> list[str]:
    return dotted.split(".")


def _label(run: RunRecord) -> str:
    letter = run.extra.get("cell", run.config.get("cell"))
    return letter if isinstance(letter, str) and letter in tuple(LETTERS) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            f"the definitions of the cells cannot be read: {error}",
            where=path,
            expected="config.yaml, preset/ and ablation/ as shipped",
        ) from error
    return content if isinstance(content, dict) else {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {k: _merged(below[k], v) for k, v in above.items() if isinstance(v, dict) and isinstance(below.get(k), dict)}
    return {**below, **above, **both}


def _resolved(node: Any, root: Mapping[str, Any]) -> Any:
    """A merged configuration with its references, such as ${scale.tall.0}, followed."""
    if isinstance(node, dict):
        return {key: _resolved(value, root) for key, value in node.items()}
    reference = _REFERENCE.fullmatch(node) if isinstance(node, str) else None
    if reference is None:
        return node
    path, _, last = reference[1].rpartition(".")
    return setting(root, path, [])[int(last)] if last.isdigit() else setting(root, reference[1])


def _differences(own: Mapping[str, Any], usual: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The keys of `usual`, dotted, whose value is another one in `own`, and both values."""
    for key, value in usual.items():
        other = own.get(key)
        if isinstance(value, dict):
            yield from _differences(other if isinstance(other, dict) else {}, value, f"{prefix}{key}.")
        elif other != value:
            yield f"{prefix}{key}", other, value


def _instead(key: str, own: object, usual: object) -> str:
    return f"{key}={own} instead of {usual}"
