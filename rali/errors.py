"""Every error that rali raises on purpose.

RaliError                 one line for people, which says what to do
├── UsageError            an option, variable or config value is wrong
├── UnsafeError           refused, because going on could lose something
│   └── DriveLostError        a drive went away while it was looked at
├── PathError             a path is missing, unreadable, or holds no photos
├── PhotoError            one photo cannot be scored; has a FailureKind (becomes data, see pipeline.py)
├── DeviceError           the device asked for is not there
├── WorkersError          the processes that decode cannot start, for want of memory perhaps
├── EvaluationError       a list of human scores cannot be used, or no correlation is defined
├── ModelError
│   ├── UnknownModelError     no model of that name, no bundle at that path
│   ├── DamagedModelError     the file is there and is not what it should be
│   └── FetchError            the hub cannot be reached, or has not got it
└── CatalogError
    ├── CatalogBusyError      another process held it for too long
    ├── CatalogDamagedError   SQLite says that it is malformed
    ├── CatalogForeignError   not ours: another program's database, or no database at all
    ├── CatalogTooNewError    written by a later version of rali
    └── CatalogWriteError     full disk, read-only folder, no permission
"""

from __future__ import annotations

from enum import StrEnum


class RaliError(Exception):
    """Base of all deliberate errors; ``str()`` is one line that says what to do."""


class UsageError(RaliError):
    """An option, a RALI_* variable or a line in config.toml has a value that cannot be used."""


class UnsafeError(RaliError):
    """Refused for safety: nothing was changed."""


class DriveLostError(UnsafeError):
    """A folder went away in the middle of a look at it, so that what is gone from it was perhaps not deleted."""


class PathError(RaliError):
    """A path is missing or unreadable, or there is no photo below it."""


class DeviceError(RaliError):
    """The device that was asked for is not on this machine."""


class WorkersError(RaliError):
    """The processes that decode photos cannot start on this machine now."""


class EvaluationError(RaliError):
    """A list of human scores cannot be used, or scores cannot be compared with it."""


class ModelError(RaliError):
    """A model cannot be used."""


class UnknownModelError(ModelError):
    """No model has this name, and no bundle lies at this path."""


class DamagedModelError(ModelError):
    """A bundle is truncated, altered, or not a bundle."""


class FetchError(ModelError):
    """A release cannot be fetched; the message says what to fetch by hand."""


class CatalogError(RaliError):
    """The catalog cannot be used."""


class CatalogBusyError(CatalogError):
    """Another process kept the catalog locked for longer than we wait."""


class CatalogDamagedError(CatalogError):
    """SQLite reports a malformed catalog."""


class CatalogForeignError(CatalogError):
    """The file is no rali catalog, so rali leaves it alone."""


class CatalogTooNewError(CatalogError):
    """The catalog was written by a later version of rali."""


class CatalogWriteError(CatalogError):
    """The catalog cannot be written: full disk, read-only place, no permission."""


class FailureKind(StrEnum):
    """Why a photo has no score; stored in the catalog, shown to people, stable for programs."""

    EMPTY = "empty"
    UNSUPPORTED = "unsupported"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    CHANGED = "changed"
    KILLED = "killed"
    NOT_FINITE = "not-finite"


class PhotoError(RaliError):
    """One photo cannot be decoded or scored."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[PhotoError], tuple[FailureKind, str]]:
        """Pickle with both arguments, so that the error crosses from a worker process."""
        return type(self), (self.kind, self.message)
