"""A click group that imports a command's module only when the command is called, so that `sanpose --help` is fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import click

from sanpose.errors import nearest


class LazyGroup(click.Group):
    """`lazy`: command name -> ("module:attribute", one line of help)."""

    def __init__(
        self,
        name: str | None = None,
        *,
        lazy: Mapping[str, tuple[str, str]],
        callback: Callable[..., object] | None = None,
        params: list[click.Parameter] | None = None,
        help: str | None = None,
    ):
        super().__init__(name, callback=callback, params=params, help=help)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            hint = nearest(cmd_name, self._lazy)
            ctx.fail(f"No such command '{cmd_name}'." + (f" {hint}" if hint else ""))
        module, _, name = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])
