"""What a command's exit code means."""

from enum import IntEnum

from rali.errors import RaliError, UnsafeError, UsageError


class ExitCode(IntEnum):
    """Stable for scripts."""

    OK = 0
    ERROR = 1
    USAGE = 2
    SOME_FAILED = 3
    UNSAFE = 4
    INTERRUPTED = 130


def exit_code_of(error: RaliError) -> ExitCode:
    """Return the exit code that an error ends a command with."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    return ExitCode.UNSAFE if isinstance(error, UnsafeError) else ExitCode.ERROR
