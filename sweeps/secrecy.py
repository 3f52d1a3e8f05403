"""Passwords in the URLs of databases: what others may read, or is shown, has none. Knows nothing of the databases."""

from __future__ import annotations

import re

# To the last @: one that stands in the password, where it should be %40, must not end it.
_URLS = re.compile(r"(://[^:/@\s]*):.*@|([?&](?:password|passwd|pwd)=)[^&\s]*")
_SHOWN = "***"


def masked(text: str) -> str:
    """A word of a command, or a line, in which *** stands for a URL's password: postgresql://user:***@host/study."""
    return _URLS.sub(lambda found: f"{found[1]}:{_SHOWN}@" if found[1] is not None else found[2] + _SHOWN, text)
