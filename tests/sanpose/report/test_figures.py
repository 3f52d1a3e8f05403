"""The report's pictures: what is drawn says what the records say, files are sound, what can't be drawn says why."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sanpose.config.compose import configs_dir
from sanpose.errors import UserError
from sanpose.report.figures import bars, build, cells, files, joints, searches, series, style, sweeps, training
from sanpose.report.figures.build import Drawing
from sanpose.report.figures.study import NoImportanceError, importances
from sanpose.report.gather import gather
from sanpose.runs import joint_maps, ledger
from sanpose.runs.paths import RunPaths
from sweeps import record
from tests.sanpose import many_runs

PATHS = ("learning", "delta", "per-action", "pareto", "claims", "joints-c000000000", "joints-along-c000000000", "bill")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    root = many_runs.cells(tmp_path_factory.mktemp("runs"))
    many_runs.sweep(root, "one", {"model.delta_init": [0.1, 0.3, 0.5]})
    many_runs.sweep(root, "two", {"model.delta_init": [0.1, 0.5], "data.input_width": [64, 96]}, 1)
    study(root, "two")
    return {drawing.name: drawing for drawing in build.drawings(gather(root, configs_dir()))}


def study(root: Path, name: str, url: str = "", widths: int = 4) -> None:
    """The Optuna study that a search would have left: delta decides nothing, the width everything."""
    path = root / "sweeps" / name / "study.log"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(study_name=name, storage=url or JournalStorage(JournalFileBackend(str(path))))
    for number in range(24):
        values = {"model.delta_init": (number % 6) / 10, "data.input_width": 64 + 32 * (number % widths)}
        kinds = {
            "model.delta_init": optuna.distributions.FloatDistribution(0, 1),
            "data.input_width": optuna.distributions.IntDistribution(64, 160),
        }
        worth = float(values["data.input_width"])
        made.add_trial(optuna.trial.create_trial(params=values, distributions=kinds, value=worth))


def texts(svg: str) -> list[str]:
    return [
        "".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    ]


def test_every_picture_is_drawn_as_svg_and_pdf(drawn: dict[str, Drawing], tmp_path: Path) -> None:
    for name in PATHS:
        assert drawn[name].missing == "" and drawn[name].caption, name
    written = build.write(tuple(drawn.values()), tmp_path / "figures")
    shown = [drawing for drawing in drawn.values() if drawing.svg]
    assert len(written) == 2 * len(shown)
    for drawing in shown:
        assert ElementTree.parse(tmp_path / "figures" / f"{drawing.name}.svg").getroot().tag.endswith("svg")
        assert (tmp_path / "figures" / f"{drawing.name}.pdf").read_bytes().startswith(b"%PDF")


def test_text_stays_text_and_says_which_run_is_which(drawn: dict[str, Drawing]) -> None:
    shown = texts(drawn["learning"].svg)
    assert {"cell a (3 seeds)", "cell f (3 seeds)", "Validation MPJPE", "mm", "epoch"} <= set(shown)
    assert {"cell c (3 seeds)", "cell e (3 seeds)"} <= set(texts(drawn["delta"].svg))
    assert not any(text.startswith("cell a") for text in texts(drawn["delta"].svg))
    assert {"Directions", "WalkTogether", "paper, own row", "cell e"} <= set(texts(drawn["per-action"].svg))
    assert {"δ = 0", "δ = 0.8", "17"} <= set(texts(drawn["joints-c000000000"].svg))
    assert drawn["joints-c000000000"].title.endswith("cell c, run c000000000")


def test_every_cell_has_its_map_before_any_has_a_second() -> None:
    runs = {letter: [SimpleNamespace(id=f"{letter}{seed}") for seed in range(2)] for letter in "gc"}
    report: Any = SimpleNamespace(cells={letter: SimpleNamespace(runs=found) for letter, found in runs.items()})
    assert list(cells._letters(report).items()) == [("c0", "c"), ("g0", "g"), ("c1", "c"), ("g1", "g")]


def test_sweeps_have_their_pictures(drawn: dict[str, Drawing]) -> None:
    assert drawn["sweep-one-against-0"].svg and "sweep-one-parallel" not in drawn
    assert drawn["sweep-one-importance"].missing.startswith("the sweep has no Optuna study")
    assert {"model.delta_init", "data.input_width", "MPJPE (mm)"} <= set(texts(drawn["sweep-two-parallel"].svg))
    ranked = [text for text in texts(drawn["sweep-two-importance"].svg) if "." in text and text.islower()]
    assert ranked[0] == "data.input_width"
    assert drawn["sweep-two-pareto"].svg and "sweep-one-pareto" not in drawn


def test_importances_out_of_a_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    many_runs.sweep(tmp_path, "two", {"model.delta_init": [0.1, 0.5], "data.input_width": [64, 96]}, 1, storage=url)
    found = record.read(tmp_path, "two")
    with pytest.raises(NoImportanceError, match="no Optuna study in the storage that its record names"):
        importances(found)
    assert not (tmp_path / "studies.db").exists(), "nothing is made by looking"
    study(tmp_path, "two", url)
    shares = importances(found)
    assert shares["data.input_width"] > shares["model.delta_init"] and not (found.folder / "study.log").exists()
    (tmp_path / "studies.db").write_bytes(b"no database")
    with pytest.raises(NoImportanceError, match="cannot be read"):
        importances(found)


def test_one_key_alone_has_no_importance(tmp_path: Path) -> None:
    axes = [{"name": "ablation", "values": ["a", "b"]}]
    many_runs.sweep(tmp_path, "recorded", {"model.delta_init": [0.1, 0.5]}, 1, axes=axes)
    many_runs.sweep(tmp_path, "varied", {"model.delta_init": [0.1, 0.5]}, 1)
    for name, key in (("recorded", "ablation"), ("varied", "model.delta_init")):
        study(tmp_path, name, widths=1)
        with pytest.raises(NoImportanceError, match=f"only {key} was varied"):
            importances(record.read(tmp_path, name))


def test_an_empty_folder_says_why_nothing_is_drawn(tmp_path: Path) -> None:
    found = {d.name: d for d in build.drawings(gather(tmp_path, configs_dir()))}
    assert all(d.missing and not d.svg for name, d in found.items() if name != "claims")
    assert "sanpose relationship" in found["joints"].missing


def test_bands_are_means_and_deviations_over_the_seeds_that_are_there() -> None:
    found = series.band([{1: 1.0, 2: 4.0}, {1: 3.0}, {}])
    assert (found.epochs, found.mean, found.count) == ((1, 2), (2.0, 4.0), 2)
    assert found.spread == pytest.approx((2**0.5, 0.0))
    assert series.band([]).epochs == ()


def test_a_line_goes_through_the_journals_values(tmp_path: Path) -> None:
    folder = many_runs.add(tmp_path, "0123456789", mpjpe=100.0)
    found = series.curves(ledger.read(folder))
    assert found.loss == pytest.approx({1: 0.2, 2: 0.15, 3: 0.1 + 0.1 / 3, 4: 0.125})
    assert found.mpjpe[1] == pytest.approx(123.0) and found.final == {4: 100.0}
    with style.house():
        axes = training.delta([("x", [found])]).axes[0]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_a_torn_journal_is_named_and_not_fatal(tmp_path: Path) -> None:
    folder = many_runs.add(tmp_path, "0123456789")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(["no json\n", *lines]))
    found = {d.name: d for d in build.drawings(gather(tmp_path, configs_dir()))}
    assert "line 1 is not JSON" in found["learning"].missing and found["per-action"].svg


def test_bars_stand_at_their_values() -> None:
    with style.house():
        axes = bars.per_action(
            ["x", "y"], bars.Bars("p", {"x": (1.0, None)}), [bars.Bars("o", {"y": (3.0, 0.5)})]
        ).axes[0]
        bill = bars.bill([("a", 10.0, 20.0), ("b", 1.0, None)]).axes[0]
    assert [patch.get_height() for patch in axes.patches] == [1.0, 3.0]
    assert [patch.get_width() for patch in bill.patches] == [10.0, 1.0, 20.0]
    assert any("unknown" in text.get_text() for text in bill.texts)


def test_the_front_is_what_no_other_point_beats() -> None:
    points = [searches.Compute(n, "s", g, m) for n, g, m in (("a", 1, 9), ("b", 2, 9), ("c", 3, 5), ("d", 4, 6))]
    with style.house():
        axes = searches.pareto(points).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "front")
    assert list(line.get_xdata()) == [1, 3, 4] and list(line.get_ydata()) == [9, 5, 5]


def test_points_of_a_front_with_long_names_are_numbered_and_named_below() -> None:
    names = [f"delta_init 0, input tall, joints {joints}" for joints in ("all", "some")]
    with style.house():
        figure = searches.pareto([searches.Compute(n, "s", i, 9 - i) for i, n in enumerate(names, 1)])
        shown = texts(files.svg(figure))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2"]
    assert {f"{i}: {name}" for i, name in enumerate(names, 1)} <= {*shown}


def test_values_that_are_nearly_equal_are_told_apart() -> None:
    points = [searches.Measured("x", {"k": i, "j": 0.001}, 438.04 + i * 0.00002) for i in range(5)]
    with style.house():
        axis = texts(files.svg(searches.against(points, "k", "mm")))
        ends = texts(files.svg(searches.parallel(points, ["k", "j"], "mm")))
    assert "438.04004" in axis and not any("e" in text or "+" in text for text in axis)
    assert {"438.04", "438.0401", "0.001"} <= {*ends}


def test_the_best_curves_are_counted_when_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_runs.sweep(tmp_path, "one", {"model.delta_init": [0.1, 0.3, 0.5]}, 1)
    report = gather(tmp_path, configs_dir())
    for most, note in ((1, "The best of 3 points."), (2, "The 2 best of 3 points.")):
        monkeypatch.setattr(sweeps, "CURVES", most)
        plans = sweeps.plans(report.sweeps[0], report.points[0], report.sweep_tables[0])
        (caption,) = (plan.caption for plan in plans if plan.name == "sweep-one-learning")
        assert caption.endswith(note)


def test_a_pair_of_joints_is_joined_only_where_it_is_alike(tmp_path: Path) -> None:
    many_runs.maps(tmp_path)
    found = joint_maps.read(RunPaths(tmp_path).joint_maps)
    alone = np.eye(len(found.joints))
    assert joints._strongest(alone) == {}
    alone[2, 5] = alone[5, 2] = 0.5
    alone[0, 1] = alone[1, 0] = np.nan
    assert joints._strongest(alone) == {(2, 5): 0.5}
    with style.house():
        shown = joints.by_delta(found).axes
    assert np.array_equal(shown[0].images[0].get_array(), found.maps[0])


def test_maps_are_read_as_written_or_refused(tmp_path: Path) -> None:
    many_runs.maps(tmp_path)
    path = RunPaths(tmp_path).joint_maps
    assert joint_maps.read(path).samples == 7 and joint_maps.read(path).trained_delta == 0.05
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read"):
        joint_maps.read(path)


def test_inline_pictures_take_the_pages_colours_and_share_no_ids() -> None:
    with style.house():
        figure = searches.against([searches.Measured("$x_1$ <b>", {"k": i}, i, 1.0) for i in range(3)], "k", "mm")
        document = files.svg(figure)
        assert document == files.svg(figure)
    one, two = files.inline(document, "one", "A"), files.inline(document, "two", "B")
    assert style.INK not in one and "currentColor" in one and "var(--series-1" in one
    assert "<style" not in one and "<metadata" not in one and 'aria-label="A"' in one
    ids = [{part.split('"')[0] for part in text.split(' id="')[1:]} for text in (one, two)]
    assert ids[0] and not ids[0] & ids[1] and all(f"#{name}" in one for name in ids[0])


def test_inline_pictures_say_what_the_files_say() -> None:
    """Small numbers on an axis and in a legend, and words that look like markup of a drawing."""
    labels = ["train.learning_rate 0.0003", "fill: #1a1b1c 'DejaVu Sans' url(#x)", ' id="p0" d="M 0.12345"']
    with style.house():
        points = [searches.Measured("x", {"k": i}, i * 0.00025) for i in range(8)]
        against = files.svg(searches.against(points, "k", "AP"))
        lines = [
            (text, [series.TrainingCurves({}, {1: 0.5 + i, 2: 0.25 + i}, {}, {})]) for i, text in enumerate(labels)
        ]
        legend = files.svg(training.delta(lines))
    for document in (against, legend):
        assert texts_inside(files.inline(document, "x", "A")) == texts(document)
    assert "0.00025" in texts(against) and labels[0] in texts(legend) and labels[1] in texts(legend)


def texts_inside(element: str) -> list[str]:
    """The texts of an element of a page, which names no namespace for a parser of XML."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", element, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", text)).strip() for text in found]


def test_a_runs_folder_cannot_add_markup_to_a_picture() -> None:
    with style.house():
        document = files.svg(searches.against([searches.Measured("x", {"k": 1}, 1.0)], "k", "mm"))
    names = ('joints-x"><b>', 'joints-x">_b>')
    found = [files.inline(document, name, "A") for name in names]
    for element in found:
        assert "<b>" not in element and ElementTree.fromstring(element.replace("xlink:", "")) is not None
    ids = [set(re.findall(r' id="([^"]*)"', element)) for element in found]
    assert ids[0] and not ids[0] & ids[1], "and no other picture's ids"


def test_labels_are_never_read_as_markup_or_formulas(tmp_path: Path) -> None:
    root = many_runs.hostile(tmp_path)
    for drawing in build.drawings(gather(root, configs_dir())):
        if drawing.svg:
            ElementTree.fromstring(drawing.svg)
            assert "<script" not in drawing.svg and "<img" not in files.inline(drawing.svg, "x", "x")
    assert record.names(root)


def test_drawing_needs_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, sanpose.report.figures.build, sanpose.report.page;"
        "bad = {'torch', 'ray', 'optuna', 'matplotlib.pyplot'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_captions_say_that_the_runs_are_not_the_papers(drawn: dict[str, Drawing]) -> None:
    assert "synthetic" in drawn["per-action"].caption and "not comparable" in drawn["pareto"].caption
    assert json.dumps(drawn["learning"].caption).count("mm") >= 1
