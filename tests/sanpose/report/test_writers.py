"""The formats of a table: what text from records may hold, and how small a number may be."""

from __future__ import annotations

from pathlib import Path

from sanpose.config.compose import configs_dir
from sanpose.report.gather import gather
from sanpose.report.table import Cell, Column, Table
from sanpose.report.writers import to_csv, to_latex, to_markdown
from tests.sanpose import many_runs


def test_latex_has_nothing_left_to_misread() -> None:
    text = "a_b 5% #1 {x} [30] \\cmd $5 ~ ^ ± × → – † & <"
    table = Table("t", "T", (Column("x", "X"),), ({"x": Cell(text)},))
    line = next(line for line in to_latex(table).splitlines() if line.endswith("\\\\") and "cmd" in line)
    assert line.isascii()
    assert line == (
        r"a\_b 5\% \#1 \{x\} {[}30{]} \textbackslash{}cmd \$5 \textasciitilde{} \textasciicircum{} $\pm$ $\times$ "
        r"$\rightarrow$ -- \textdagger{} \& \textless{} \\"
    )


def test_a_small_bill_is_not_nothing(tmp_path: Path) -> None:
    many_runs.add(tmp_path, "a" * 10, bill={"wall_s": 60.0, "accelerators": 1, "device": "cpu"})
    table = gather(tmp_path, configs_dir()).bill
    assert "| 0.00025 |" in to_markdown(table)
    assert ",0.00025," in to_csv(table)
    many_runs.add(tmp_path, "b" * 10, bill={"wall_s": 7200.0, "accelerators": 4, "device": "cuda"})
    (tmp_path / ("a" * 10) / "result.json").unlink()
    assert "| 2.400 |" in to_markdown(gather(tmp_path, configs_dir()).bill)


def test_markdown_reads_no_formula_and_no_link_in_text() -> None:
    text = "[x](javascript:1) $a_1$"
    table = Table("t", text, (Column("a", "A"),), ({"a": Cell(text)},), (text,))
    assert to_markdown(table).count(r"\[x\](javascript:1) \$a\_1\$") == 3
