"""The dashboard's page in a real Chromium: what it shows, how soon, and that text from records stays text."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sanpose.claims import record as claims_record
from sanpose.claims.auto import AutoSeeds
from sanpose.claims.record import ClaimLine, ClaimsRecord
from sanpose.metrics.headline import headline
from sanpose.runs import ledger
from sweeps import record
from tests.sanpose import tiny
from tests.sanpose.dashboard.served import dashboard, get
from tests.sanpose.run_records import after, held, journal, measured, within, write_run, write_sweep

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
A, B, C, D = (letter * 10 for letter in "abcd")
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed (/usr/bin/chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    found = context.new_page()
    found.set_default_timeout(15_000)
    problems: list[str] = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
    yield found
    context.close()
    assert problems == []


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    done = write_run(folder, A, "done", 61.5)
    journal(done, *(within(e, s, 0.5 - 0.1 * e) for e in range(4) for s in (50, 100)), after(4), measured(4, 62.0))
    failed = write_run(folder, B, "failed", reason=HOSTILE)
    (failed / "logs" / "worker-0.log").write_text(f"Traceback\n{HOSTILE}\n")
    journal(write_run(folder, C, "running"), within(1, 50, 0.25))
    label = f"delta 1 {HOSTILE}"
    write_sweep(folder, "delta", [("delta 0", 0, A), ("delta 0", 1, C), ("delta 0.1", 0, B), (label, 0, D)])
    return folder


def cell(page: Any, run: str) -> str:
    text: str = page.locator(f"#grid [data-run='{run}']").inner_text()
    return " ".join(text.split())


def test_the_grid_fills_in_and_a_new_record_appears_within_five_seconds(page: Any, runs: Path) -> None:
    with held(runs / C), dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#grid .cell")
        assert "token" not in page.url, "an address that is copied gives nothing away"
        assert cell(page, A) == "done 61.5 mm"
        assert cell(page, C).startswith("running")
        assert "epoch 2 of 4" in cell(page, C)
        assert cell(page, D).startswith("waiting")
        assert page.locator("#connection").inner_text() == "live"
        assert "delta 0, seed 1" in page.locator("#running").inner_text()
        page.wait_for_selector("#curves svg .dot")
        write_run(runs, D, "done", 70.5)
        journal(runs / C, within(2, 10, 0.125))
        page.wait_for_selector(f"[data-run='{D}']:has-text('70.5 mm')", timeout=5000)
        page.wait_for_selector(f"[data-run='{C}']:has-text('epoch 3 of 4')", timeout=5000)
        assert "0.1250" in page.locator("#running").inner_text()


def test_text_from_records_is_never_run(page: Any, runs: Path) -> None:
    with dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#attention li")
        assert HOSTILE in page.locator("#attention").inner_text()
        assert HOSTILE in page.locator("#grid").inner_text()
        page.locator("#attention summary").first.click()
        page.wait_for_selector("#attention pre:has-text('Traceback')")
        page.click(f"[data-run='{B}']")
        page.wait_for_selector("#run pre:has-text('Traceback')")
        assert page.title() == "sanpose dashboard"
        assert page.locator("img, main script").count() == 0


def test_a_run_opens_with_its_curves_and_closes_with_escape(page: Any, runs: Path) -> None:
    with dashboard(runs) as served:
        page.goto(served.url)
        page.click(f"[data-run='{A}']")
        page.wait_for_selector("#run figure svg")
        assert "61.5 mm" in page.locator("#run").inner_text()
        assert page.locator("#run svg[role=img]").first.get_attribute("aria-label").startswith("Loss")
        cut = "all => all.filter(t => t.getBBox().y + t.getBBox().height > t.ownerSVGElement.viewBox.baseVal.height)"
        assert page.eval_on_selector_all("#run svg text", f"all => ({cut})(all).map(t => t.textContent)") == []
        page.keyboard.press("Escape")
        assert not page.locator("#run").is_visible()


def test_it_says_when_there_is_no_connection_and_comes_back(page: Any, runs: Path) -> None:
    with dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#connection[data-state=live]")
        served.process.send_signal(signal.SIGINT)
        page.wait_for_selector("#connection[data-state=lost]", timeout=8000)
        assert "no connection" in page.locator("#connection").inner_text()
    write_run(runs, D, "done", 70.5)
    with dashboard(runs):
        page.wait_for_selector("#connection[data-state=live]", timeout=8000)
        assert cell(page, D) == "done 70.5 mm"


def test_without_the_token_the_page_is_refused(page: Any, runs: Path) -> None:
    with dashboard(runs) as served:
        assert page.goto(served.url.partition("?")[0]).status == 403


def test_a_phone_scrolls_down_and_not_sideways(browser: Any, runs: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    with dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#curves svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.click(f"[data-run='{A}']")
        page.wait_for_selector("#run figure svg")
        box = page.locator("#run").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    context.close()


def test_thousands_of_runs_are_paged_and_found(page: Any, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    model = write_run(runs, "0" * 10, "done", 60.0)
    for number in range(1, 3000):
        folder = runs / f"{number:010d}"
        shutil.copytree(model, folder)
        text = (model / "result.json").read_text().replace("0" * 10, folder.name)
        (folder / "result.json").write_text(text)
    with dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#grid .cell")
        assert page.locator("#grid .cell").count() == 50
        assert "of 3000" in page.locator("#pager").inner_text()
        page.fill("#filter-text", "0000002345")
        assert page.locator("#grid .cell").count() == 1
        page.fill("#filter-text", "")
        page.click("#pager button:has-text('next')")
        assert "rows 51\u2013100" in page.locator("#pager").inner_text()
        write_run(runs, "0000000060", "failed", reason="late")
        page.wait_for_selector("[data-run='0000000060'].s-failed", timeout=5000)


def test_a_point_that_a_search_drew_again_is_one_cell_and_two_trials(page: Any, runs: Path) -> None:
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "started": None, "dashboard": "http://127.0.0.1:1"}
    trials = [("lr 1", 0, A), ("lr 2", 0, C), ("lr 1", 0, A)]
    write_sweep(runs, "random", trials, search={"sampler": "random"}, planned=4, axes=[], seeds=1, driver=driver)
    with held(runs / C), dashboard(runs) as served:
        page.goto(f"{served.url}#sweep=random")
        page.wait_for_selector("#grid .cell")
        assert page.locator(f"#grid [data-run='{A}']").count() == 1
        assert page.locator("#summary .counts").inner_text().split("\n") == ["1 running", "2 done", "1 to be drawn"]
        assert "2 of 4 done" in page.locator("[data-sweep=random]").inner_text()
        assert "~/.ray/auth_token" in page.locator("#ray").inner_text(), "Ray's page asks for a token"
        assert page.locator("#ray-button").is_hidden()


def test_the_dashboard_of_a_private_ray_has_a_button_while_its_sweep_runs(page: Any, runs: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        driver = {"host": socket.gethostname(), "pid": process.pid, "started": None, "dashboard": None}
        write_sweep(runs, "random", [("lr 1", 0, C)], axes=[], seeds=1, driver=driver)
        with held(runs / C), dashboard(runs) as served:
            page.goto(f"{served.url}#sweep=random")
            page.click("#ray-button")
            page.wait_for_selector("#tools [role=status]:has-text('no private Ray of sweep')")
            assert str(process.pid) in page.locator("#tools").inner_text()
            write_sweep(runs, "random", [("lr 1", 0, C)], axes=[], seeds=1, driver=driver, ended="2026-01-01T00:00:00Z")
            page.wait_for_selector("#ray:has-text('ended with the sweep')", timeout=10_000)
            assert page.locator("#ray-button").is_hidden()
        process.kill()


SWEEP = {"title": "What delta buys", "fixed": ["ablation=c"], "axes": {"model.delta_init": [0.0, 0.5]}}
# Every tenth of a second: when the page first shows a run as done and the sweep as ended, and what it shows until then.
WATCH = """
window.ended = {}; window.shown = {};
setInterval(() => {
  for (const cell of document.querySelectorAll("#grid .cell[data-run]")) {
    (window.shown[cell.dataset.run] ??= new Set()).add(cell.innerText.replace(/\\s+/g, " ").trim());
    if (cell.matches(".s-done")) window.ended[cell.dataset.run] ??= Date.now() / 1000;
  }
  if (document.querySelector("#summary").innerText.includes("ended (")) window.ended.sweep ??= Date.now() / 1000;
}, 100);
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """The runs' folder of a sweep of two trials that has just been started, and its driver."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "deltas.yaml").write_text(yaml.safe_dump(SWEEP))
    runs = folder / "runs"
    runs.mkdir()
    overrides = tiny.overrides(folder, "train.epochs=20", "eval.sets=[h36m]", "eval.every=5")
    command = [sys.executable, "-m", "sanpose.tune", f"sweep={folder / 'deltas.yaml'}", *overrides]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    yield runs, process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_real_sweep_is_seen_from_its_begin_to_its_end(page: Any, sweep: tuple[Path, subprocess.Popen[bytes]]) -> None:
    runs, driver = sweep
    page.set_default_timeout(150_000)  # on a busy machine
    with dashboard(runs) as served:
        page.goto(served.url)
        page.click("[data-sweep='deltas-smoke']")
        page.evaluate(WATCH)
        page.wait_for_selector("#grid .cell.s-running")
        page.wait_for_selector("#running td:has-text('epoch')")
        page.wait_for_selector("#curves svg .dot")
        page.wait_for_selector("#summary p:has-text('ended (')")
        page.wait_for_timeout(500)  # for the watch to have seen it too
        seen, shown = page.evaluate(
            "[window.ended, Object.fromEntries(Object.entries(window.shown).map(([id, texts]) => [id, [...texts]]))]"
        )
        assert driver.wait(60) == 0, (runs.parent / "log").read_text()
        sweep = record.read(runs, "deltas-smoke")
        assert sorted(seen) == sorted([*(trial.run for trial in sweep.trials), "sweep"])
        for trial in sweep.trials:
            run = ledger.read(runs / trial.run)
            assert -0.5 < seen[trial.run] - run.changed < 5, "the page shows the end soon after the record"
            epochs = [text for text in shown[trial.run] if text.startswith("running") and "epoch" in text]
            assert len(set(epochs)) >= 2, f"its progress was seen: {shown[trial.run]}"
            assert f"{headline(run.metrics)['mpjpe_mm']:.1f} mm" in cell(page, trial.run)
        assert -0.5 < seen["sweep"] - (sweep.folder / "sweep.json").stat().st_mtime < 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_optuna_s_dashboard_has_the_trials_of_a_real_sweep(sweep: tuple[Path, subprocess.Popen[bytes]]) -> None:
    runs, driver = sweep
    assert driver.wait(200) == 0, (runs.parent / "log").read_text()
    with dashboard(runs) as served:
        served.json("/api/changes")
        status, _, body = served.ask("/tools/optuna?sweep=deltas-smoke", method="POST", **served.origin)
        assert status == 200, body
        port = json.loads(body)["port"]
        (study,) = json.loads(get(port, "/api/studies"))["study_summaries"]
        found = json.loads(get(port, f"/api/studies/{study['study_id']}?after=0"))
    assert (found["name"], found["directions"]) == ("deltas-smoke", ["minimize"])
    trials = {trial["number"]: trial for trial in found["trials"]}
    recorded = record.read(runs, "deltas-smoke").trials
    assert sorted(trials) == [trial.number for trial in recorded] == [0, 1]
    for trial in recorded:
        its = trials[trial.number]
        points = {param["name"]: float(param["param_external_value"]) for param in its["params"]}
        notes = {note["key"]: note["value"] for note in its["user_attrs"]}
        figures = headline(ledger.read(runs / trial.run).metrics)
        assert (its["state"], points, its["values"]) == ("Complete", trial.values, [figures["mpjpe_mm"]])
        assert (notes["run"], notes["seed"]) == (trial.run, str(trial.seed))


def test_the_claims_of_a_sweep_with_seeds_auto_are_shown_and_followed(page: Any, runs: Path) -> None:
    line = ClaimLine("a → b", HOSTILE, "open", 3, -20.5, 4.2, 0.06, 0.12, 2)
    content = ClaimsRecord(AutoSeeds(), (line,), 6, 24, 12, 0.5)
    claims_record.write(runs / "sweeps" / "delta", content)
    with held(runs / C), dashboard(runs) as served:
        page.goto(served.url)
        page.wait_for_selector("#claims table")
        text = " ".join(page.locator("#claims").inner_text().split())
        assert "claims: 0 decided, 1 open; 12 of 24 runs saved, about 30 min of training (at most 12 seeds" in text
        assert f"a → b {HOSTILE} 3 \N{MINUS SIGN}20.50 0.1200 open: about 2 more seeds" in text
        claims_record.write(runs / "sweeps" / "delta", replace(content, claims=(replace(line, state="better"),)))
        page.wait_for_selector("#claims td:has-text('decided: better')", timeout=5000)
