"""The page in a real browser: it needs no network, runs nothing of a record's, sorts, filters, opens, fits, prints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanpose.config.compose import configs_dir
from sanpose.pose import draw
from sanpose.report.gather import gather
from sanpose.report.page.write import render, write
from tests.sanpose import many_runs

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("page")
    root = many_runs.cells(base / "runs")
    many_runs.sweep(root, "delta_init", {"model.delta_init": [0.1, 0.3, 0.5, 1.0]}, title="What delta buys")
    pictures = root / "c000000000" / "predictions"
    pictures.mkdir()
    (pictures / "street.overlay.png").write_bytes(many_runs.PNG)
    draw.write_jpeg(pictures / "samples-h36m.jpg", np.zeros((3, 5, 3), np.uint8))
    return write(gather(root, configs_dir()), base / "out")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("hostile")
    (base / "runs").mkdir()
    return write(gather(many_runs.hostile(base / "runs"), configs_dir()), base / "out")


class Visit:
    """A page that is open, and everything that it complained of or requested from the network."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.context.set_default_timeout(5000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def column(self, table: str, index: int, rows: str = "tbody tr:not([hidden])") -> list[str]:
        found = self.page.eval_on_selector_all(
            f"#{table} {rows}", f"rows => rows.map(row => row.cells[{index}].textContent.trim())"
        )
        return [str(text) for text in found]

    def text(self, selector: str) -> str:
        """All text there, also what is out of sight: `inner_text` would be empty where nothing is laid out."""
        return str(self.page.text_content(selector))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []


def test_it_is_one_file_that_asks_for_nothing(browser: Any, made: Path) -> None:
    text = made.read_text()
    assert "default-src 'none'" in text and not re.search(r"(?:src|href)=\"(?!#|data:|//www\.w3)[^\"]", text)
    with Visit(browser, made) as visit:
        assert len([url for url in visit.requests if url.startswith("file:")]) == 1
        blocked = visit.page.evaluate(
            "fetch('https://example.org/').then(() => 'let through', error => 'blocked ' + error.name)"
        )
        assert blocked == "blocked TypeError"
        visit.complaints.clear()  # the browser said that it was blocked
        visit.requests.clear()


def test_the_head_says_what_the_runs_are(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        head = visit.page.inner_text("header")
        assert "26 recorded runs" in head and "1 sweep" in head and "1 could not be read" in head
        assert "Synthetic, small scale." in head
        counts = [int(n) for n in visit.page.locator(".verdicts b").all_inner_texts()]
        assert sum(counts) == 6
        order = visit.page.eval_on_selector_all("section", "all => all.map(one => one.id)")
        assert order[:2] == ["claims", "table1"] and order[-2:] == ["broken", "runs"]
        assert visit.column("table1", 0) == list("abcdefg")
        assert "missing" in visit.column("table1", 12)[6]
        assert "torn" in visit.text("#broken")
        for kind in ("confirmed", "contradicted", "undecided"):
            texts = visit.page.locator(f"#claims .chip.{kind}").all_inner_texts()
            assert all(text == kind for text in texts)


def test_tables_are_sorted_by_their_numbers(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        head = visit.page.locator("#table1 thead th").nth(7)
        assert head.inner_text().startswith("Ours")
        head.locator("button").click()
        values = visit.column("table1", 7)
        numbers = [float(value.split(" ")[0].rstrip("†")) for value in values if value != "–"]
        assert numbers == sorted(numbers) and len(numbers) == 6 and values[-1] == "–"
        assert head.get_attribute("aria-sort") == "ascending"
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert visit.column("table1", 7)[-1] == "–" and visit.column("table1", 0)[0] == "a"
        head.locator("button").click()
        assert head.get_attribute("aria-sort") is None and visit.column("table1", 0) == list("abcdefg")


def test_titles_of_columns_are_text_that_print_can_repeat(browser: Any, made: Path) -> None:
    """Chromium repeats a table's head on every page that it goes on to, but none of the head's buttons."""
    own = "all => all.map(th => [...th.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(''))"
    with Visit(browser, made) as visit:
        titles = visit.page.eval_on_selector_all("[data-table] thead th", own)
        assert len(titles) > 50 and all(titles) and {"Cell", "Direct.", "Started"} <= set(titles)
        labels = visit.page.eval_on_selector_all("thead button", "all => all.map(one => one.ariaLabel)")
        assert labels == [f"Sort by {title}" for title in titles]
        head = visit.page.locator("#table1 thead th").nth(7)
        inner, whole = head.locator("button").bounding_box(), head.bounding_box()
        assert inner and whole and inner["width"] > whole["width"] - 3 and inner["height"] > whole["height"] - 3
        visit.page.emulate_media(media="print")
        assert not any(button.is_visible() for button in visit.page.locator("thead button").all())
        assert visit.page.eval_on_selector("#table1 thead", "head => getComputedStyle(head).display") == (
            "table-header-group"
        )


def test_tables_are_filtered_and_long_ones_cut(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        visit.page.fill("#table3a input", "ours here e")
        assert visit.column("table3a", 0)[-1].startswith("Ours here")
        assert "rows" in visit.page.inner_text("#table3a output")
        visit.page.fill("#runs input", "failed")
        assert visit.column("runs", 0) == ["f200000000"]
        visit.page.fill("#runs input", "no such run")
        assert visit.column("runs", 0) == []


def test_a_cell_opens_its_runs(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        visit.page.get_by_role("button", name="c", exact=True).click()
        dialog = visit.page.locator("dialog[open]")
        text = dialog.inner_text()
        for text_part in (
            "c000000000",
            "c200000000",
            "model.attention",
            "train.seed",
            "validation MPJPE (mm)",
            "2026-01-02",
        ):
            assert text_part in text, text_part
        dialog.locator("summary").first.click()
        text = dialog.inner_text()
        for text_part in ("0123456789abcdef with uncommitted changes", "hostname node7", "torch 2.14.1", "S9, S11"):
            assert text_part in text, text_part
        visit.page.keyboard.press("Escape")
        assert visit.page.locator("dialog[open]").count() == 0
        visit.page.fill("#runs input", "f200000000")
        visit.page.locator("#runs tbody tr:not([hidden]) td").nth(2).click()
        assert "out of memory" in visit.page.locator("dialog[open]").inner_text()
        visit.page.locator("dialog .close").click()
        visit.page.locator("#sweep-delta-init .open, #sweep-delta_init .open").first.click()
        assert "model.delta_init" in visit.page.locator("dialog[open]").inner_text()


def test_rows_of_the_other_tables_open_their_runs_too(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        for table, count in (("table2", 6), ("table3a", 6), ("table3b", 6), ("table4", 6), ("table5", 6)):
            assert visit.page.locator(f"#{table} .open").count() == count, table
            for row in visit.page.locator(f"#{table} tbody tr[data-runs]").all()[:2]:
                row.locator("td").nth(1).click()
                title = visit.page.inner_text("#dialog-title")
                letter = re.search(r"[Cc]ell ([a-g])", title)
                assert letter and f"{letter[1]}000000000" in visit.page.inner_text("dialog[open]"), title
                visit.page.keyboard.press("Escape")
        assert visit.page.locator("#table2 tr:has(td.paper):not([data-runs])").count() == 3, (
            "two as published, and g, not run here"
        )
        assert "missing" in visit.text("#table4 tbody tr:last-child")
        visit.page.locator("#table3a tr.published td").first.click()
        assert visit.page.locator("dialog[open]").count() == 0


def test_what_a_page_of_many_runs_leaves_out_is_said(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sanpose.report.page.details.MOST", 7)
    monkeypatch.setattr("sanpose.report.page.details.CURVES", 3)
    monkeypatch.setattr("sanpose.report.figures.build.SWEEPS", 1)
    many_runs.add(tmp_path / "runs", "c000000000", mpjpe=110.0)
    for name in ("one", "two"):
        many_runs.sweep(tmp_path / "runs", name, {"model.delta_init": [0.1, 0.3]})
    with Visit(browser, write(gather(tmp_path / "runs", configs_dir()), tmp_path / "out")) as visit:
        section = visit.text("#runs")
        assert (
            "2 more runs are not listed here" in section and "curves of 4 of these runs are not in the page" in section
        )
        drawn = [visit.page.locator(f"#sweep-{name} svg").count() for name in ("one", "two")]
        assert sorted(map(bool, drawn)) == [False, True]
        assert "`sanpose report --sweep" in visit.text(f"#sweep-{('one', 'two')[drawn.index(0)]}")
        assert (
            visit.page.locator("#sweep-one .open").count() == 2 and visit.page.locator("#sweep-two .open").count() == 1
        )
        visit.page.locator("#sweep-two .open").click()
        assert "The page holds no curves of 1 of these runs" in visit.page.inner_text("dialog[open]")


def test_hostile_text_is_shown_and_not_run(browser: Any, bad: Path) -> None:
    with Visit(browser, bad) as visit:
        for button in visit.page.locator("#runs .open").all():
            button.click()
            visit.page.eval_on_selector_all("dialog[open] details", "all => all.forEach(one => { one.open = true })")
            visit.page.keyboard.press("Escape")
        visit.page.locator("#runs .open").first.click()
        visit.page.eval_on_selector_all("dialog[open] details", "all => all.forEach(one => { one.open = true })")
        shown = visit.page.locator("dialog[open]").inner_text()
        assert "</script><script>window.hacked = 1</script>" in shown and "{{ 7*7 }} {% raw %} '\"&amp;" in shown
        body = visit.text("main")
        assert "window.hacked = 1" in body and "<img src=x onerror=" in body and "{{ 7*7 }}" in body
        assert "49" not in visit.text("#runs")
        assert visit.page.evaluate("window.hacked") is None
        assert visit.page.locator("figure svg").count() > 0 and visit.page.locator("svg b").count() == 0
        assert (
            visit.page.locator("img:not(.photos img), script:not(:last-of-type):not(#data), b:has(> script)").count()
            == 0
        )


def test_pictures_and_predictions_are_there(browser: Any, made: Path) -> None:
    with Visit(browser, made) as visit:
        for name in ("claims", "learning", "delta", "per-action", "pareto", "joints-c000000000", "bill"):
            box = visit.page.locator(f"#fig-{name} svg").bounding_box()
            assert box and box["width"] > 300 and box["height"] > 100, name
        assert "street.overlay.png" in visit.text("#predictions")
        assert visit.page.eval_on_selector_all("#predictions img", "all => all.map(i => i.naturalWidth)") == [5, 1]
        assert "not drawn: the sweep has no Optuna study" in visit.text("main")


def test_without_predictions_the_section_says_so(tmp_path: Path) -> None:
    many_runs.add(tmp_path, "a" * 10)
    text = render(gather(tmp_path, configs_dir()), [], datetime.now(UTC))
    section = text.partition('id="predictions"')[2].partition("</section>")[0]
    assert "No run’s folder has pictures" in section
    assert '<a href="#predictions">' in text


def test_what_is_no_picture_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = many_runs.add(tmp_path, "a" * 10) / "predictions"
    (pictures / "folder.png").mkdir(parents=True)
    (pictures / "dangling.png").symlink_to(tmp_path / "nothing")
    for name in ("good.png", "locked.png"):
        (pictures / name).write_bytes(many_runs.PNG)
    read = Path.read_bytes

    def refused(path: Path) -> bytes:  # permissions would stop nobody who runs the tests as root
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    section = render(gather(tmp_path, configs_dir()), [], datetime.now(UTC)).partition('id="predictions"')[2]
    assert re.findall(r"<code>([a-z]+\.png)</code>", section) == ["good.png"]


def test_a_command_that_was_recorded_with_a_password_is_shown_without(tmp_path: Path) -> None:
    path = many_runs.add(tmp_path, "a" * 10) / "provenance.json"
    command = ["sanpose", "tune", "search.storage=postgresql://u:secret@h/db"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))
    text = render(gather(tmp_path, configs_dir()), [], datetime.now(UTC))
    assert "postgresql://u:***@h/db" in text
    assert "secret" not in text


@pytest.mark.parametrize("name", ["made", "bad"])
def test_a_phone_scrolls_tables_and_not_the_page(browser: Any, name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    with Visit(browser, path, viewport={"width": 390, "height": 844}) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
        assert visit.page.eval_on_selector("#table1 .scroll", "box => box.scrollWidth > box.clientWidth")
        visit.page.locator("#table1 .open").first.click()
        assert visit.page.eval_on_selector("dialog", "box => box.scrollWidth <= box.clientWidth")
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_shows_every_row(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for seed in range(45):
        many_runs.add(tmp_path / "runs", f"{seed:010x}", settings={"train.seed": seed}, epochs=1)
    with Visit(browser, write(gather(tmp_path / "runs", configs_dir()), tmp_path / "out")) as visit:
        assert len(visit.column("runs", 0)) == 40
        visit.page.emulate_media(media="print", color_scheme="dark")
        rows = visit.page.locator("#runs tbody tr")
        assert sum(row.is_visible() for row in rows.all()) == 45
        assert not visit.page.locator("#theme").is_visible() and not visit.page.locator(".more").last.is_visible()
        background = visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == "rgb(255, 255, 255)"
        visit.page.emulate_media(media="screen")
        visit.page.locator("#runs .more button").click()
        assert len(visit.column("runs", 0)) == 45


def luminance(colour: str) -> float:
    parts = [int(float(part)) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


SEEN = """nodes => nodes.map(node => {
  let box = node;
  while (box && getComputedStyle(box).backgroundColor === "rgba(0, 0, 0, 0)") box = box.parentElement;
  const style = getComputedStyle(node);
  return [node.textContent.trim(), node instanceof SVGElement ? style.fill : style.color,
    getComputedStyle(box ?? document.documentElement).backgroundColor];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Any, made: Path, scheme: str) -> None:
    with Visit(browser, made, color_scheme=scheme) as visit:
        paper = visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (luminance(paper) < 0.1) == (scheme == "dark")
        places = "p, li, td, th, a, h1, h2, figcaption, .chip, sup, #theme, .verdicts b, #fig-learning svg text"
        for text, ink, behind in visit.page.eval_on_selector_all(places, SEEN):
            assert contrast(ink, behind) >= 4.5, (text, ink, behind)
        lines = visit.page.eval_on_selector_all(
            "#fig-learning path[clip-path]", "all => all.map(one => getComputedStyle(one).stroke)"
        )
        assert lines and all(contrast(line, paper) >= 3 for line in lines if line.startswith("rgb("))
        visit.page.locator("#theme").click()
        assert visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != paper


def test_without_javascript_everything_but_the_details_is_there(browser: Any, made: Path) -> None:
    with Visit(browser, made, java_script_enabled=False) as visit:
        assert visit.page.locator("#runs tbody tr").count() == 26
        assert visit.page.locator("#fig-learning svg").is_visible()
        assert "need JavaScript" in visit.page.inner_text("body")
