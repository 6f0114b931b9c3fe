"""The ``rali`` command: its subcommands, and what becomes of errors and signals."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from rali.errors import RaliError
from rali_cli.commands import (
    apply,
    bursts,
    cull,
    doctor,
    evaluate,
    forget,
    marks,
    model,
    quarantine,
    ranked,
    rate,
    report,
    review,
    runs,
    score,
    show,
    stats,
    train,
    watch,
)
from rali_cli.exit_codes import ExitCode, exit_code_of

_COMMANDS: dict[str, Callable[..., Any]] = {
    "score": score.score,
    "watch": watch.watch,
    "worst": ranked.worst,
    "best": ranked.best,
    "list": ranked.list_command,
    "show": show.show,
    "stats": stats.stats,
    "report": report.report,
    "review": review.review,
    "rate": rate.rate,
    "bursts": bursts.bursts,
    "cull": cull.cull,
    "apply": apply.apply,
    "undo": runs.undo,
    "runs": runs.runs,
    "keep": marks.keep,
    "reject": marks.reject,
    "unmark": marks.unmark,
    "forget": forget.forget,
    "eval": evaluate.evaluate,
    "train": train.train,
    "doctor": doctor.doctor,
}
# What typer raises for every mistake in a command line is click's, of which it names this one's child alone.
_CommandLineError: type[Any] = typer.BadParameter.__mro__[1]
_GROUPS = {"quarantine": quarantine.app, "model": model.app}


def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Score photos by technical quality, rank them, move the bad ones away. Runs on this machine alone."""
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"rali {installed_version('rali')}")
        raise typer.Exit


def command_line(asked: str | None = None) -> typer.Typer:
    """Return all commands, or only the one that is ``asked`` for if there is one of that name.

    Typer builds every command it knows before it runs one: 30 ms, a tenth of what a short command takes.
    """
    known = {**_COMMANDS, **_GROUPS}
    names = [asked] if asked in known else [*known]
    made = typer.Typer(
        name="rali",
        help=root.__doc__,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(root)
    for name in names:
        if name in _COMMANDS:
            made.command(name)(_COMMANDS[name])
        else:
            made.add_typer(_GROUPS[name], name=name)
    return made


app = command_line()


def main() -> NoReturn:
    """Run the command line; every deliberate error is one line on stderr and an exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _interrupted)
    # A command makes a few hundred thousand small values and ends: looking for rubbish among them took a tenth of it.
    gc.set_threshold(50_000, 20, 20)
    # torch's threads spin while they wait for each other, and read this when torch is imported. Beside another busy
    # program spinning costs most of the speed (4.6 against 16.7 photos/s, mini on two cores), sleeping alone nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # So do numpy's, from its import on, for 2 ** 26 turns: 35 ms of CPU for each command that has no use for them.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a pipe that cannot show a character gets it escaped, not a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            code = command_line(*sys.argv[1:2])(
                prog_name="rali",
                standalone_mode=False,  # else typer says of a mistake in four lines
            )
        finally:
            sys.stdout.flush()  # here, where a reader that went away can be told from an error
            # All is done but for Python's own end, in which a late Ctrl-C would count as a death by signal.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            gc.freeze()  # nor does that end have to look for rubbish among all that was imported: 30 ms
    except RaliError as error:
        print(f"rali: {error}", file=sys.stderr)
        sys.exit(exit_code_of(error))
    except _CommandLineError as error:
        print(_told(error), file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    except BrokenPipeError:  # `rali list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except (OSError, MemoryError) as error:  # the system's own refusals: no permission, no room, no memory
        # What is still to be written would fail once more, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"rali: {' '.join(str(error).split()) or type(error).__name__}; run: rali doctor", file=sys.stderr)
        sys.exit(ExitCode.ERROR)
    sys.exit(code)


def _told(error: Any) -> str:
    """Say in one line what is wrong with a command line; where there is no command, its help is what is said."""
    message: str = error.format_message()
    if "\n" in message:
        return message
    stop = "" if message.endswith((".", "?")) else "."
    if error.ctx is not None:
        command = error.ctx.command_path
    else:  # as where an option lacks its value
        command = " ".join(["rali", *(word for word in sys.argv[1:2] if word in _COMMANDS or word in _GROUPS)])
    return f"rali: {message}{stop} See: {command} --help"


def _interrupted(signal_number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 (the signature is Python's)
    sys.exit(ExitCode.INTERRUPTED)
