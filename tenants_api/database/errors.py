"""What goes wrong with a database, whatever driver or library speaks to it. Knows neither of them."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot be read or written now.

    The text is the first line of what the driver said, without the statement; `cause` names the driver's error.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__((str(cause).strip() or type(cause).__name__).splitlines()[0])
        self.cause = type(cause).__name__


class StorageBusy(StorageError):
    """All our own connections are in use: our load, and no sign that the server was away."""


def cause_of(error: BaseException) -> str:
    """The name of what went wrong, for logs."""
    return error.cause if isinstance(error, StorageError) else type(error).__name__
