"""How the code is built: folders, imports, types, names and sizes, each beside its bar: the most that is allowed.

    python -m bench.house [--where]     (or make house)

Prints a Markdown table, and what exceeds a bar; with --where, the places behind every number. Exit code 1 when a bar is
exceeded. Reads the source and pyproject.toml; needs the standard library only.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("sanpose", "cluster", "sweeps")
BARE_WORDS = re.compile(r"\b(told|asked)\b")
BARE_NAMES = {"told", "asked", "found", "given", "known", "left", "kept"}
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Module:
    """A Python file, by its dotted name. `is_package`: it is the `__init__.py` of a folder."""

    name: str
    is_package: bool
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class Measure:
    """A number and the most that it may be; None: there is no bar. `where`: the places behind it."""

    name: str
    value: float
    bar: float | None = None
    where: tuple[str, ...] = ()

    @property
    def missed(self) -> bool:
        return self.bar is not None and self.value > self.bar


def modules() -> Iterator[Module]:
    for path in sorted(p for package in PACKAGES for p in (REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        text = path.read_text()
        yield Module(".".join(parts[:-1] if is_package else parts), is_package, text, ast.parse(text))


def imports(module: Module, names: set[str]) -> set[str]:
    """The modules that a module imports, also within functions, but not for type checkers alone."""
    nodes, result = [module.tree], set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            result |= submodules & names or {node.module}
    return result & names - {module.name}


def circles(graph: Graph) -> list[str]:
    """The groups of nodes that each reach all others of their group."""
    reached = {node: _reached(graph, node) for node in graph}
    groups = {frozenset(n for n in reached[node] if node in reached[n]) for node in graph if node in reached[node]}
    return [", ".join(sorted(group)) for group in groups]


def _reached(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    nodes = [start]
    while nodes:
        new = graph[nodes.pop()] - reached
        reached |= new
        nodes += new
    return reached


def of_rooms(graph: Graph) -> Graph:
    """The same imports between rooms: the folders and modules directly below a package."""
    rooms: dict[str, set[str]] = {}
    for name, targets in graph.items():
        own = _room(name)
        rooms.setdefault(own, set()).update({_room(target) for target in targets} - {own})
    return rooms


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def named(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The names that a file gives to variables, parameters, functions, classes and attributes, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, NAMED) and node.name:
            yield node.name, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def layers() -> tuple[int, int]:
    """The layers of the import contracts, and the imports that the contracts ignore."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    deepest = max(len(contract.get("layers", ())) for contract in contracts)
    return deepest, sum(len(contract.get("ignore_imports", ())) for contract in contracts)


def measures() -> Iterator[Measure]:
    everything = list(modules())
    yield from _of_folders(everything)
    yield from _of_words(everything)
    yield from _of_sizes(everything)


def _of_folders(everything: list[Module]) -> Iterator[Measure]:
    names = {module.name for module in everything}
    graph = {module.name: imports(module, names) for module in everything}
    root = sorted(path.name for path in (REPOSITORY / "sanpose").glob("*.py"))
    yield Measure("modules at the root of sanpose/", len(root), 6, tuple(root))
    deepest, ignored = layers()
    yield Measure("import layers", deepest, 11)
    yield Measure("ignored imports", ignored, 0)
    for nodes, edges in (("modules", graph), ("rooms", of_rooms(graph))):
        groups = circles(edges)
        yield Measure(f"circles of {nodes}", len(groups), 0, tuple(groups))


def _of_words(everything: list[Module]) -> Iterator[Measure]:
    text = "\n".join(module.text for module in everything)
    yield Measure("`Any` per 1,000 lines", 1000 * len(re.findall(r"\bAny\b", text)) / _lines(everything), 12)
    yield Measure("`dict[str, Any]`", len(re.findall(r"dict\[str, Any\]", text)), 90)
    words = [f"{module.name}: {match[0]}" for module in everything for match in BARE_WORDS.finditer(module.text)]
    yield Measure("the words told and asked", len(words), 0, tuple(words))
    bare = [f"{m.name}:{line} {name}" for m in everything for name, line in named(m.tree) if name in BARE_NAMES]
    yield Measure(f"bare names ({', '.join(sorted(BARE_NAMES))})", len(bare), 0, tuple(bare))
    classes = Counter(n.name for m in everything for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef))
    shared = tuple(sorted(name for name, count in classes.items() if count > 1))
    yield Measure("names that several classes share", len(shared), 0, shared)


def _of_sizes(everything: list[Module]) -> Iterator[Measure]:
    yield Measure("lines", _lines(everything))
    yield Measure("files", len(everything))
    yield Measure("lines of a file, median", statistics.median(module.lines for module in everything))
    longest = max(everything, key=lambda module: module.lines)
    yield Measure("lines of the longest file", longest.lines, None, (longest.name,))
    functions = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{module.name}.{node.name}")
        for module in everything
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines, name = max(functions)
    yield Measure("lines of the longest function", lines, None, (name,))


def _lines(everything: list[Module]) -> int:
    return sum(module.lines for module in everything)


def main() -> None:
    """Print the table; with --where, the places behind every number."""
    table = list(measures())
    print("| measure | value | bar | |\n| --- | --- | --- | --- |")
    for measure in table:
        value = f"{measure.value:.1f}".removesuffix(".0")
        bar = "" if measure.bar is None else f"{measure.bar:g}"
        print(f"| {measure.name} | {value} | {bar} | {'exceeded' if measure.missed else ''} |")
    for measure in table:
        if measure.where and (measure.missed or "--where" in sys.argv[1:]):
            print(f"\n{measure.name}:\n" + "\n".join(f"  {line}" for line in measure.where))
    sys.exit(any(measure.missed for measure in table))


if __name__ == "__main__":
    main()
