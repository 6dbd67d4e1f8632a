"""Errors of the database, independent of driver and library."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot be read or written.

    The message is the first line of the driver's, without the statement; `cause` names the driver's error.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__((str(cause).strip() or type(cause).__name__).splitlines()[0])
        self.cause = type(cause).__name__


class StorageBusy(StorageError):
    """All connections of the pool are in use, which does not mean that the server is unreachable."""


def cause_of(error: BaseException) -> str:
    """The name of an error, for logs."""
    return error.cause if isinstance(error, StorageError) else type(error).__name__
