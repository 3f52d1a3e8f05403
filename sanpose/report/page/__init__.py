"""The report as one page that needs nothing else: `write` makes index.html, and the pictures as files beside it."""

from __future__ import annotations

from sanpose.report.page.write import write

__all__ = ["write"]
