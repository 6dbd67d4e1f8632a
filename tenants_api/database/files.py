"""Whether the SQLite file that was opened is still the one at its path.

A file that is replaced (`mv` of a restored backup) leaves open connections on the old one: what is written to it is
lost with the process, and what is read is out of date. To open the new one beside them is no way out: the old file's
`-wal` lies there under the new file's name.
"""

from __future__ import annotations

import os
import sqlite3


class FileIdentity:
    """Device and inode of a file, as they were when it was looked at first."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._first: tuple[int, int] | None = None
        self._lost: str | None = None  # for good: a file that is made later may get the inode of the one that is gone

    def check(self) -> None:
        """Compare with the first look.

        Raises:
            sqlite3.OperationalError: another file is at the path now, or none.
        """
        self._first = self._first or self._look()
        self.check_again()

    def check_again(self) -> None:
        """As `check`, but passes before the first look: for who is about to open the file, and may make it."""
        if self._first is None:
            return
        found = self._look()
        if found != self._first:
            self._lost = self._lost or ("is gone" if found is None else "was replaced")
        if self._lost is not None:
            raise sqlite3.OperationalError(
                f"the SQLite file {self._path!r} {self._lost} while this process had it open; restart the process, and "
                "stop it before the file is replaced"
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
