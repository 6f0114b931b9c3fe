"""A cull plan as a file: what was shown today is what goes tomorrow, and nothing else."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rali.catalog.records import Scoring
from rali.culling.plan import CullPlan, HeldBack, PlannedShot, ShotFile
from rali.errors import PathError, UsageError
from rali.photos.photo import display_path

VERSION = 1
# How every plan begins: another file of the user's is never written over.
_START = '{"rali_plan": '
_Value = TypeVar("_Value", str, int, float, list[Any], dict[str, Any])


def save_plan(plan: CullPlan, path: str | os.PathLike[str]) -> None:
    r"""Write ``plan`` as JSON in ASCII, one shot a line; all of the file, or nothing of it.

    A byte in a name that is not UTF-8 is written as the surrogate that ``os.fsdecode`` makes of it: ``\udce9``.

    Raises:
        UsageError: there is a file at ``path`` that is no plan.
        PathError: it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        if os.path.lexists(target) and not _is_plan(target):
            raise UsageError(f"{display_path(target)} is no plan of rali's, so it was left alone; give another name")
        try:
            with partial.open("x", encoding="ascii") as file:
                file.writelines(_lines(plan))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise PathError(f"the plan {display_path(target)} cannot be written: {error.strerror or error}") from error


def load_plan(path: str | os.PathLike[str]) -> CullPlan:
    """Read a plan that :func:`save_plan` wrote; everything in it is checked, because it moves files.

    Raises:
        UsageError: it is not such a file, or something in it cannot be.
        PathError: it cannot be read.
    """
    shown = display_path(path)
    try:
        text = Path(path).read_bytes().decode("ascii")
        data = json.loads(text, parse_constant=_refuse_constant)
        return _plan_of(data)
    except OSError as error:
        raise PathError(f"the plan {shown} cannot be read: {error.strerror or error}") from error
    except _Flaw as flaw:
        raise UsageError(f"{shown} is no plan that can be used: {flaw}; make a new one with rali cull --plan") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{shown} is no plan: it is not JSON as rali writes it") from None


class _Flaw(Exception):  # noqa: N818 - it never leaves this module
    """What is wrong with a plan, in a few words."""


def _is_plan(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_START)) == _START.encode()


def _lines(plan: CullPlan) -> Iterator[str]:
    head = {
        "roots": plan.roots,
        "chosen": plan.chosen,
        "scoring": asdict(plan.scoring),
        "considered": plan.considered,
        "folder_sizes": dict(plan.folder_sizes),
    }
    dump = json.JSONEncoder(allow_nan=False).encode
    yield f"{_START}{VERSION},\n{dump(head)[1:-1]},\n"
    yield '"held_back": ['
    yield from _joined(dump(vars(held)) for held in plan.held_back)
    yield '],\n"shots": ['
    yield from _joined(dump(vars(shot) | {"files": [file._asdict() for file in shot.files]}) for shot in plan.shots)
    yield "]}\n"


def _joined(texts: Iterator[str]) -> Iterator[str]:
    separator = "\n"
    for text in texts:
        yield separator + text
        separator = ",\n"


def _refuse_constant(name: str) -> NoReturn:
    raise _Flaw(f"a number in it is {name}")


def _plan_of(data: object) -> CullPlan:
    if not isinstance(data, dict) or "rali_plan" not in data:
        raise _Flaw("it does not say that it is one")
    version = _get(data, "rali_plan", int)
    if version > VERSION:
        raise _Flaw(f"a later rali wrote it (version {version}); update rali")
    if version != VERSION:
        raise _Flaw(f"there is no version {version}")
    sizes = _get(data, "folder_sizes", dict)
    shots = tuple(_shot_of(_typed(shot, dict, "shots")) for shot in _get(data, "shots", list))
    names = {(shot.folder, file.name) for shot in shots for file in shot.files}
    files = {(file.device, file.inode) for shot in shots for file in shot.files}
    if not len(names) == len(files) == sum(len(shot.files) for shot in shots):
        raise _Flaw("a file is in it twice")
    return CullPlan(
        roots=tuple(_folder(root) for root in _get(data, "roots", list)),
        chosen=_text(data, "chosen"),
        scoring=_scoring_of(_get(data, "scoring", dict)),
        shots=shots,
        held_back=tuple(_held_back_of(_typed(held, dict, "held_back")) for held in _get(data, "held_back", list)),
        considered=_natural(data, "considered"),
        folder_sizes={_folder(folder): _natural(sizes, folder) for folder in sizes},
    )


def _shot_of(data: dict[str, Any]) -> PlannedShot:
    files = tuple(_file_of(_typed(file, dict, "files")) for file in _get(data, "files", list))
    if not files:
        raise _Flaw("a shot has no files")
    root, folder = _text(data, "root"), _text(data, "folder")
    _check_place(root, folder)
    scores = _score(data, "score"), _score(data, "percentile")
    group = None if data.get("group") is None else _natural(data, "group")  # plans of an earlier rali have none
    return PlannedShot(root, folder, files, *scores, _text(data, "why"), group)


def _file_of(data: dict[str, Any]) -> ShotFile:
    name = _text(data, "name")
    if name in ("", os.curdir, os.pardir) or "/" in name or os.sep in name or "\0" in name:
        raise _Flaw(f"{name!r} is no name of a file")
    numbers = (_natural(data, "device"), _natural(data, "inode"), _natural(data, "size_bytes"))
    return ShotFile(name, *numbers, _get(data, "mtime_ns", int))


def _held_back_of(data: dict[str, Any]) -> HeldBack:
    return HeldBack(_text(data, "path"), _score(data, "score"), _text(data, "rule"), _text(data, "detail"))


def _scoring_of(data: dict[str, Any]) -> Scoring:
    low, high = _score(data, "score_low"), _score(data, "score_high")
    if low is None or high is None:
        raise _Flaw("its scale has no ends")
    names = _text(data, "model_id"), _text(data, "recipe"), _text(data, "model_name")
    return Scoring(_natural(data, "id"), *names, low, high)


# --- values ----------------------------------------------------------------------------------------------------


def _typed(value: object, kind: type[_Value], name: str) -> _Value:
    if type(value) is not kind:  # exactly: True is no number
        raise _Flaw(f"{name} is {'missing' if value is None else 'not what it should be'}")
    return value


def _get(data: dict[str, Any], name: str, kind: type[_Value]) -> _Value:
    return _typed(data.get(name), kind, name)


def _text(data: dict[str, Any], name: str) -> str:
    return _encodable(_get(data, name, str))


def _encodable(text: str) -> str:
    if not text.isascii():
        try:
            os.fsencode(text)
        except UnicodeEncodeError:
            raise _Flaw("a text in it is no name that a disk can hold") from None
    return text


def _natural(data: dict[str, Any], name: str) -> int:
    number = _get(data, name, int)
    if not 0 <= number < 1 << 64:
        raise _Flaw(f"{name} cannot be {number}")
    return number


def _score(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None and name in data:
        return None
    number = float(value) if type(value) is int else _typed(value, float, name)
    if not math.isfinite(number):
        raise _Flaw(f"{name} cannot be {number}")
    return number


def _folder(value: object) -> str:
    folder = _encodable(_typed(value, str, "a folder"))
    if not os.path.isabs(folder) or os.path.normpath(folder) != folder or "\0" in folder:
        raise _Flaw(f"{folder!r} is no absolute path of a folder")
    return folder


@lru_cache(maxsize=64)  # shots come folder by folder
def _check_place(root: str, folder: str) -> None:
    if _folder(folder) != _folder(root) and not folder.startswith(root.rstrip(os.sep) + os.sep):
        raise _Flaw(f"{display_path(folder)} does not lie in {display_path(root)}")
