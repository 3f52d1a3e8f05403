"""A table as text: Markdown, LaTeX, CSV, JSON. Pure functions; they decide how a table looks, not its content."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

from sanpose.report.table import Cell, Column, Table, cell_of, is_numeric, row_marks, standings, symbols, text_of

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}",
    "]": "{]}", "|": r"\textbar{}", "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$", "−": "$-$", "–": "--",
    "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}", "¶": r"\P{}", "°": r"\textdegree{}",
    "…": r"\ldots{}",
}  # fmt: skip


def to_markdown(table: Table) -> str:
    """GitHub's Markdown: the best value in bold, the second underlined, the notes as a list."""
    lines = [f"## {_markdown(table.title)}", ""]
    lines += [f"**{symbol} {_markdown(mark)}**" for mark, symbol in symbols(table).items()]
    lines += [""] if lines[-1] else []
    lines.append("| " + " | ".join(_markdown(column.title) for column in table.shown) + " |")
    lines.append("|" + "|".join("---:" if is_numeric(table, column) else ":---" for column in table.shown) + "|")
    styles = {"best": "**{}**", "second": "<ins>{}</ins>"}
    lines += ["| " + " | ".join(row) + " |" for row in _texts(table, _markdown, styles)]
    lines += ["", *(f"- {_markdown(note)}" for note in table.notes)] if table.notes else []
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """A table environment; needs the packages booktabs, graphicx and textcomp. The caption has the marks."""
    caption = " ".join([f"{latex(table.title)}.", *(f"{latex(s)} {latex(m)}." for m, s in symbols(table).items())])
    lines = [
        "% needs \\usepackage{booktabs,graphicx,textcomp}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:{table.name}}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{''.join('r' if is_numeric(table, c) else 'l' for c in table.shown)}}}",
        "\\toprule",
        " & ".join(latex(column.title) for column in table.shown) + " \\\\",
        "\\midrule",
        *(
            " & ".join(row) + " \\\\"
            for row in _texts(table, latex, {"best": "\\textbf{{{}}}", "second": "\\underline{{{}}}"})
        ),
        "\\bottomrule",
        "\\end{tabular}}",
        *(f"\\par\\smallskip\\footnotesize\\raggedright {latex(note)}" for note in table.notes),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """One line per row: raw numbers, `<key>_std` beside a column that has spreads, and the marks in words."""
    spread = {c.key for c in table.columns for row in table.rows if cell_of(row, c).spread is not None}
    header = [name for c in table.columns for name in ([c.key, f"{c.key}_std"] if c.key in spread else [c.key])]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*header, "mark"])
    for row in table.rows:
        values: list[object] = []
        for column in table.columns:
            cell = cell_of(row, column)
            values += [cell.value, cell.spread] if column.key in spread else [cell.value]
        writer.writerow([*("" if v is None else v for v in values), row_marks(row)])
    return file.getvalue()


def to_json(table: Table) -> str:
    """The whole table, a row per line: raw numbers, spreads, standings, marks in words, notes."""
    standing = standings(table)
    rows = [
        {
            column.key: {
                "value": cell_of(row, column).value,
                "std": cell_of(row, column).spread,
                "standing": standing.get((index, column.key)),
                "mark": cell_of(row, column).mark or None,
            }
            for column in table.columns
        }
        for index, row in enumerate(table.rows)
    ]
    columns = [{"key": c.key, "title": c.title, "better": c.better} for c in table.columns]
    content = {"name": table.name, "title": table.title, "columns": columns, "notes": list(table.notes)}
    head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in rows)
    return f'{head},\n "rows": [\n{lines}\n ]\n}}\n'


WRITERS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "tex": to_latex, "csv": to_csv, "json": to_json}


def latex(text: str) -> str:
    """Text without characters that LaTeX reads as commands or lacks."""
    return "".join(_LATEX.get(character, character) for character in text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>$\[\]])", r"\\\1", text)


def _texts(table: Table, escape: Callable[[str], str], styles: dict[str, str]) -> list[list[str]]:
    standing, signs = standings(table), symbols(table)

    def styled(index: int, cell: Cell, column: Column) -> str:
        text = escape(text_of(cell, column))
        place = standing.get((index, column.key))
        text = styles[place].format(text) if place else text
        return text + (escape(signs[cell.mark]) if cell.mark else "")

    return [[styled(i, cell_of(row, c), c) for c in table.shown] for i, row in enumerate(table.rows)]
