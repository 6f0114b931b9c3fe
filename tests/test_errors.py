"""The exception tree."""

from __future__ import annotations

import inspect
import pickle

import pytest

from rali import errors
from rali.errors import FailureKind, PhotoError, RaliError, UnsafeError, UsageError
from rali_cli.exit_codes import ExitCode, exit_code_of

DELIBERATE = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, Exception)]


def test_every_deliberate_error_is_a_rali_error() -> None:
    assert all(issubclass(error, RaliError) for error in DELIBERATE)


@pytest.mark.parametrize("error", DELIBERATE, ids=lambda error: error.__name__)
def test_every_error_stands_in_the_drawn_tree(error: type[RaliError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")


def test_a_photo_error_crosses_a_process_boundary_whole() -> None:
    error = pickle.loads(pickle.dumps(PhotoError(FailureKind.TRUNCATED, "ends early")))

    assert (error.kind, error.message, str(error)) == (FailureKind.TRUNCATED, "ends early", "ends early")


def test_failure_kinds_are_stable_words_for_programs() -> None:
    assert {kind.value for kind in FailureKind} == {
        "empty", "unsupported", "truncated", "corrupt", "too-large", "unreadable", "vanished", "crashed", "timed-out",
        "changed", "killed", "not-finite",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("x"), ExitCode.USAGE), (UnsafeError("x"), ExitCode.UNSAFE), (RaliError("x"), ExitCode.ERROR)],
)
def test_each_error_has_its_exit_code(error: RaliError, code: ExitCode) -> None:
    assert exit_code_of(error) is code


def test_exit_codes_are_those_that_scripts_know() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "ERROR": 1, "USAGE": 2, "SOME_FAILED": 3, "UNSAFE": 4, "INTERRUPTED": 130,
    }  # fmt: skip
