"""Mask passwords in the URLs of databases, before a URL is recorded or shown. Does not know the databases."""

from __future__ import annotations

import re

# Up to the last @: a password may hold an @ that should be %40.
_URLS = re.compile(r"(://[^:/@\s]*):.*@|([?&](?:password|passwd|pwd)=)[^&\s]*")
_MASK = "***"


def masked(text: str) -> str:
    """A text with *** in place of the password of a URL: postgresql://user:***@host/study."""
    return _URLS.sub(lambda match: f"{match[1]}:{_MASK}@" if match[1] is not None else match[2] + _MASK, text)
