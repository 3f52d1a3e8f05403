"""A file of lines that another process writes: each reading gives the new lines. Does not know what the lines say."""

from __future__ import annotations

from pathlib import Path

Signature = tuple[int, int, int]


def signature(path: Path) -> Signature | None:
    """What shows whether a file has changed: modification time (ns), size, inode. None where there is no file.

    Raises OSError when the file's folder cannot be searched.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class FollowedFile:
    """`signature`: the file's at the last call of `changed`. `offset`: where the next reading begins, 0 for a file that
    was not read yet, or was replaced since."""

    def __init__(self, path: Path):
        self.path = path
        self.signature: Signature | None = None
        self.offset = 0

    def changed(self) -> bool:
        """Whether the file was replaced or has changed since the last call. Raises OSError as `signature` does."""
        before, self.signature = self.signature, signature(self.path)
        now = self.signature
        if before is None or now is None or now[2] != before[2] or now[1] < self.offset:
            self.offset = 0
        return now != before

    def lines(self, last: int = 0) -> list[bytes]:
        """The lines since the last reading, without their ends; a last line without an end is read next time.

        last: read only the last so many bytes of a file that was not read yet; 0 for all.
        Raises OSError when the file cannot be read.
        """
        if self.signature is None:
            return []
        skipped = max(0, self.signature[1] - last) if last and not self.offset else 0
        with self.path.open("rb") as file:
            file.seek(self.offset or skipped)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self.offset = (self.offset or skipped) + end
        return data[:end].split(b"\n")[1 if skipped else 0 : -1]  # the first piece may be the end of a skipped line
