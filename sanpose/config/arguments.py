"""Command-line arguments of the form KEY=VALUE: a command takes some by their key and passes the others on.

Knows only the form of an argument; does not know which keys a configuration has.
"""

from __future__ import annotations

from collections.abc import Sequence


def split(arguments: Sequence[str], *keys: str) -> tuple[dict[str, str], list[str]]:
    """The values of the arguments whose key is in `keys`, and all other arguments in their order.

    The last value of a key counts. An argument without "=" is never taken.
    """
    values, others = {}, []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys:
            values[key] = value
        else:
            others.append(argument)
    return values, others


def last_value(arguments: Sequence[str], key: str) -> str | None:
    """The value of the last argument with this key; None without one."""
    return split(arguments, key)[0].get(key)
