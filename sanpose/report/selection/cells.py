"""The cell of the paper's Table 1 that a run stands for.

The run's settings decide, compared with the cells that the shipped YAML defines at the scale of the run's preset. So a
run of any sweep counts, whatever its label, and a variant of a cell (another initial delta) does not count as the cell.
A run's own label counts only where its settings match no cell and are no variant: a cell at a user's own scale.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sanpose.config.schema import LATER, NUISANCE
from sanpose.errors import UserError
from sanpose.runs import facts
from sanpose.runs.facts import setting
from sanpose.runs.ledger import RunRecord

LETTERS = "abcdefg"
# The settings that define a cell. Every other setting that defines a run must be equal in runs that are compared.
SCALED = (
    "model.backbone", "data.input_width", "data.input_height", "data.sources.mpii.share", "data.sources.coco.share",
    "eval.flip_test",
)  # fmt: skip
_VARIANTS: dict[str, object] = {
    "model.delta_init": 0.0,
    "model.attention_scale": False,
    "model.attention_position": False,
}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
SETTINGS = (*SCALED, "model.attention", *_VARIANTS)
# Keys of the YAML that do not say how a cell is trained, or are compared as SETTINGS.
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
    """A cell at a preset's scale: its SETTINGS, and its whole configuration from the YAML."""

    settings: Mapping[str, object]
    config: Mapping[str, object]


@dataclass(frozen=True)
class CellMatch:
    """`letter`: the cell, "" for none. `mismatches`: the settings that differ from that cell's definition, in words."""

    letter: str = ""
    mismatches: tuple[str, ...] = ()


def definitions(config_dir: Path, presets: Collection[str]) -> dict[str, dict[str, CellDefinition]]:
    """Preset -> letter -> the cell at that preset's scale, for the shipped ones among the presets.

    The YAML is merged and resolved here, since composing with Hydra takes seconds. Raises UserError when the YAML
    cannot be read.
    """
    shipped = {p.stem: p for p in (config_dir / "preset").glob("*.yaml") if p.stem in presets}
    if not shipped:
        return {}
    base = _read(config_dir / "config.yaml")
    cells = {letter: _read(config_dir / "ablation" / f"{letter}.yaml") for letter in LETTERS}
    defined: dict[str, dict[str, CellDefinition]] = {}
    for name, path in shipped.items():
        scaled = _merged(base, _read(path))
        merged = {letter: _merged(scaled, cell) for letter, cell in cells.items()}
        configs = {letter: _resolved(cell, cell) for letter, cell in merged.items()}
        defined[name] = {x: CellDefinition({k: setting(c, k) for k in SETTINGS}, c) for x, c in configs.items()}
    return defined


def match_cell(run: RunRecord, defined: Mapping[str, CellDefinition]) -> CellMatch:
    """The cell that a run stands for; defined: the cells at the scale of the run's preset, from `definitions`."""
    own = {key: _own(run.config, key) for key in SETTINGS}
    for letter, cell in defined.items():
        if own == cell.settings:
            return CellMatch(letter)
    label = _label(run)
    if not label or own["model.attention"] == "channel" or any(own[k] != v for k, v in _VARIANTS.items()):
        return CellMatch()
    usual = defined[label].settings if label in defined else {}
    return CellMatch(label, tuple(_instead(k, own[k], usual[k]) for k in SETTINGS if k in usual and own[k] != usual[k]))


def changes(run: RunRecord, defined: Mapping[str, CellDefinition], letter: str) -> tuple[str, ...]:
    """The training settings of a cell's run that differ from its shipped preset, in words."""
    differences = _differences(run.config, defined[letter].config) if letter in defined else ()
    return tuple(_instead(key, own, usual) for key, own, usual in differences if key not in _NOT_TRAINED)


def _own(config: Mapping[str, object], key: str) -> object:
    """A run's setting; an older record without a variant's key has the variant's usual value."""
    value = setting(config, key)
    return _VARIANTS.get(key) if value is None else value


def _label(run: RunRecord) -> str:
    letter = facts.cell(run)
    return letter if letter in tuple(LETTERS) else ""


def _read(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            f"the definitions of the cells cannot be read: {error}",
            where=path,
            expected="the shipped config.yaml, preset/ and ablation/",
        ) from error
    return content if isinstance(content, dict) else {}


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    merged = {**below, **above}
    for key, value in above.items():
        lower = below.get(key)
        if isinstance(value, dict) and isinstance(lower, dict):
            merged[key] = _merged(lower, value)
    return merged


def _resolved(section: Mapping[str, object], root: Mapping[str, object]) -> dict[str, object]:
    """A section of a merged configuration, with the values of its references such as ${scale.tall.0}."""
    return {
        key: _resolved(value, root) if isinstance(value, dict) else _referenced(value, root)
        for key, value in section.items()
    }


def _referenced(value: object, root: Mapping[str, object]) -> object:
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if reference is None:
        return value
    path, _, last = reference[1].rpartition(".")
    values = setting(root, path) if last.isdigit() else None
    return values[int(last)] if isinstance(values, list) else setting(root, reference[1])


def _differences(
    own: Mapping[str, object], usual: Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, object, object]]:
    """The dotted keys of `usual` with another value in `own`, and both values."""
    for key, value in usual.items():
        other = own.get(key, LATER.get(f"{prefix}{key}"))
        if isinstance(value, dict):
            yield from _differences(other if isinstance(other, dict) else {}, value, f"{prefix}{key}.")
        elif other != value:
            yield f"{prefix}{key}", other, value


def _instead(key: str, own: object, usual: object) -> str:
    return f"{key}={own} instead of {usual}"
