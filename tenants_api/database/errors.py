"""Errors of the database, independent of driver and library."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot be read or written.

    The message is the first line of the driver's, without the statement; `cause` names the driver's error.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(first_line(cause))
        self.cause = type(cause).__name__


class StorageBusy(StorageError):
    """All connections of the pool are in use, which does not mean that the server is unreachable."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def cause_of(error: BaseException) -> str:
    """The name of an error, for logs."""
    return error.cause if isinstance(error, StorageError) else type(error).__name__
