"""The ``rali`` command as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main

from rali_cli import app as app_module
from rali_cli.app import app, command_line


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every command and group, as one types it."""
    command = command or typer.main.get_command(app)
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_explains_itself(rali: Callable[..., Any], path: tuple[str, ...]) -> None:
    answer = rali(*path, "--help")

    assert (answer.code, answer.err) == (0, "")
    assert "Usage: " in answer.out


def test_the_commands_that_other_programs_rely_on_are_there() -> None:
    names = {" ".join(path) for path in commands()}

    assert {"score", "worst", "best", "list", "show", "stats", "doctor"} <= names
    assert {"cull", "apply", "runs", "undo", "keep", "reject", "unmark", "quarantine purge"} <= names


def test_only_the_command_that_is_asked_for_is_built() -> None:
    built = {asked: typer.main.get_command(command_line(asked)) for asked in ("score", "model", "--help", "scroe")}

    assert set(built["score"].commands) == {"score"}  # type: ignore[attr-defined]
    assert set(built["model"].commands) == {"model"}  # type: ignore[attr-defined]
    assert set(commands(built["--help"])) == set(commands(built["scroe"])) == set(commands())


def test_a_mistyped_command_is_met_with_its_name(rali: Callable[..., Any]) -> None:
    assert "'score'" in rali("scroe").err


def test_version_is_the_installed_one(rali: Callable[..., Any]) -> None:
    from importlib.metadata import version

    assert rali("--version").out == f"rali {version('rali')}\n"


def test_what_is_caught_of_typer_is_every_mistake_in_a_command_line() -> None:
    assert app_module._CommandLineError.__name__ == "UsageError"


def test_without_a_command_comes_the_help(rali: Callable[..., Any]) -> None:
    answer = rali()

    assert "score" in answer.out + answer.err


@pytest.mark.parametrize(
    ("arguments", "help_with"),
    [
        (["scroe"], "rali --help"),
        (["--no-such-option"], "rali --help"),
        (["worst", "-n", "0"], "rali worst --help"),
        (["worst", "-n", "x"], "rali worst --help"),
        (["watch"], "rali watch --help"),
        (["worst", "-n"], "rali worst --help"),
        (["model", "inof"], "rali model --help"),
    ],
)
def test_a_wrong_word_ends_with_2_and_one_line(rali: Callable[..., Any], arguments: list[str], help_with: str) -> None:
    answer = rali(*arguments)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("rali: ")
    assert answer.err.endswith(f". See: {help_with}\n") or answer.err.endswith(f"? See: {help_with}\n")


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules that a command loads, in a process of its own."""
    program = (
        "import sys\nfrom rali_cli.app import main\n"
        f"sys.argv = ['rali', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    return set(done.stderr.splitlines())


def test_help_loads_neither_torch_nor_numpy() -> None:
    loaded = loaded_by("--help")

    assert "rali_cli.app" in loaded
    assert not loaded & {"torch", "numpy", "PIL", "sqlite_utils", "rich", "safetensors"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["worst"],
        ["list", "--json"],
        ["stats"],
        ["cull", "/photos", "--below", "50"],
        ["runs"],
        ["keep", "/photos/1.jpg"],
    ],
    ids=str,
)
def test_what_needs_no_model_does_not_load_torch(collection: list[str], arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)

    assert "rali.moving.recovery" in loaded
    assert "torch" not in loaded


def test_a_bad_setting_is_one_line_that_names_its_source(
    rali: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RALI_WORKERS", "many")

    answer = rali("score", ".")

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("rali: RALI_WORKERS: 'many'")
