"""A plan on disk: what is read is what was written, and nothing else is ever taken for a plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rali.catalog.records import Scoring
from rali.culling.plan import CullPlan, HeldBack, PlannedShot, ShotFile
from rali.culling.plan_file import load_plan, save_plan
from rali.errors import PathError, UsageError

SCORING = Scoring(3, "f" * 32, "fast-1.1-half", "mini", 0.0, 100.0)

# Any bytes but a slash and NUL can be a name; os.fsdecode gives surrogates for those that are not UTF-8.
names = (
    st.one_of(st.binary(min_size=1, max_size=20), st.text("\"\\\n\r\t'é\u202e{}[],", min_size=1).map(str.encode))
    .map(lambda name: os.fsdecode(name.replace(b"/", b"_").replace(b"\0", b"_")))
    .filter(lambda name: name not in (".", ".."))
)
folders = st.lists(names, max_size=3).map(lambda parts: "/" + "/".join(parts))
naturals = st.integers(0, (1 << 64) - 1)
scores = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def plans(draw: Any) -> CullPlan:
    shots = []
    number = 0
    for root, below in draw(st.lists(st.tuples(folders, st.lists(names, max_size=2)), max_size=4)):
        files = []
        for name in draw(st.lists(names, min_size=1, max_size=3)):
            number += 1
            size, mtime_ns = draw(naturals), draw(st.integers(-(1 << 63), (1 << 63) - 1))
            files.append(ShotFile(f"{number}{name}", draw(st.integers(0, 9)), (1 << 63) + number, size, mtime_ns))
        folder = os.path.join(root, *below)
        group = draw(st.none() | naturals)
        shots.append(PlannedShot(root, folder, tuple(files), draw(scores), draw(scores), draw(names), group))
    held = draw(st.lists(st.builds(HeldBack, folders, scores, st.sampled_from(["keep", "rating"]), names), max_size=3))
    sizes = {shot.folder: draw(st.integers(1, 1000)) for shot in shots}
    roots = tuple(dict.fromkeys(shot.root for shot in shots))
    return CullPlan(roots, draw(names), SCORING, tuple(shots), tuple(held), draw(st.integers(0, 10**6)), sizes)


@given(plans())
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, plan: CullPlan) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.json"

    save_plan(plan, path)

    assert load_plan(path) == plan
    assert path.read_bytes().isascii()


def shot(name: str = "a.jpg", inode: int = 1) -> PlannedShot:
    return PlannedShot("/p", "/p/x", (ShotFile(name, 1, inode, 10, 20),), 31.5, 2.5, "score below 40")


def plan(*shots: PlannedShot) -> CullPlan:
    held = (HeldBack("/p/b.jpg", None, "keep", "marked keep"),)
    return CullPlan(("/p",), "score below 40", SCORING, shots or (shot(),), held, 10, {"/p/x": 5})


def test_a_plan_is_one_shot_a_line(tmp_path: Path) -> None:
    save_plan(plan(shot(), shot("b\udce9.jpg", 2)), tmp_path / "plan.json")

    lines = (tmp_path / "plan.json").read_text().splitlines()

    assert lines[0] == '{"rali_plan": 1,'
    assert json.loads(lines[-1].removesuffix("]}"))["files"][0]["name"] == "b\udce9.jpg"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_plan_may_be_empty(tmp_path: Path) -> None:
    empty = CullPlan((), "what is marked reject", SCORING, (), (), 0, {})
    save_plan(empty, tmp_path / "plan.json")

    assert load_plan(tmp_path / "plan.json") == empty


def test_a_plan_replaces_a_plan_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan(), path)
    save_plan(plan(shot("b.jpg")), path)
    assert load_plan(path).shots[0].files[0].name == "b.jpg"

    for other in (b"a photo", b"", b'{"other": 1}'):
        (tmp_path / "IMG.jpg").write_bytes(other)
        with pytest.raises(UsageError, match=r"IMG\.jpg is no plan of rali's, so it was left alone"):
            save_plan(plan(), tmp_path / "IMG.jpg")
        assert (tmp_path / "IMG.jpg").read_bytes() == other


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PathError, match="cannot be written: No space left on device"):
        save_plan(plan(), tmp_path / "plan.json")
    assert os.listdir(tmp_path) == []

    with pytest.raises(PathError, match="No such file or directory"):
        save_plan(plan(), tmp_path / "gone" / "plan.json")


def test_a_plan_of_an_earlier_rali_knows_no_groups(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan(), path)
    path.write_text(path.read_text().replace(', "group": null', ""))
    assert "group" not in path.read_text()

    assert load_plan(path) == plan()


def test_a_plan_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"gone\.json cannot be read: No such file"):
        load_plan(tmp_path / "gone.json")


Change = Callable[[dict[str, Any]], object]


def file_of(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["shots"][0]["files"][0]
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.pop("rali_plan"), "does not say that it is one"),
        (lambda data: data.update(rali_plan=2), r"a later rali wrote it \(version 2\); update rali"),
        (lambda data: data.update(rali_plan=0), "no version 0"),
        (lambda data: data.update(rali_plan=True), "rali_plan is not what it should be"),
        (lambda data: data.pop("shots"), "shots is missing"),
        (lambda data: data.update(shots={}), "shots is not"),
        (lambda data: data["shots"].append(7), "shots is not"),
        (lambda data: data["shots"].append(data["shots"][0]), "a file is in it twice"),
        (lambda data: data["shots"][0].update(files=[]), "a shot has no files"),
        (lambda data: data["shots"][0].update(folder="x"), "no absolute path"),
        (lambda data: data["shots"][0].update(folder="/p/../etc"), "no absolute path"),
        (lambda data: data["shots"][0].update(folder="/p/x/"), "no absolute path"),
        (lambda data: data["shots"][0].update(folder="/p\0"), "no absolute path"),
        (lambda data: data["shots"][0].update(folder="/pictures"), "/pictures does not lie in /p"),
        (lambda data: data["shots"][0].update(root=None), "root is missing"),
        (lambda data: data["shots"][0].update(score="31"), "score is not"),
        (lambda data: data["shots"][0].pop("score"), "score is missing"),
        (lambda data: data["shots"][0].update(score=True), "score is not"),
        (lambda data: data["shots"][0].update(group="1"), "group is not"),
        (lambda data: data["shots"][0].update(score=float("nan")), "NaN"),
        (lambda data: data["shots"][0].update(score=float("inf")), "Infinity"),
        (lambda data: file_of(data).update(name="../a.jpg"), "no name of a file"),
        (lambda data: file_of(data).update(name="a/b.jpg"), "no name of a file"),
        (lambda data: file_of(data).update(name=".."), "no name of a file"),
        (lambda data: file_of(data).update(name=""), "no name of a file"),
        (lambda data: file_of(data).update(name="a\0"), "no name of a file"),
        (lambda data: file_of(data).update(name="\ud800"), "no name that a disk can hold"),
        (lambda data: file_of(data).update(inode=1.0), "inode is not"),
        (lambda data: file_of(data).update(inode=-1), "inode cannot be -1"),
        (lambda data: file_of(data).update(size_bytes=1 << 64), "size_bytes cannot be"),
        (lambda data: data["held_back"].append({}), "path is missing"),
        (lambda data: data["scoring"].update(score_low=None), "its scale has no ends"),
        (lambda data: data["folder_sizes"].update({"/p/x": "5"}), "/p/x is not"),
        (lambda data: data["roots"].append("photos"), "no absolute path"),
    ],
)
def test_a_plan_with_anything_wrong_in_it_is_refused(tmp_path: Path, change: Change, reason: str) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan(), path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))

    with pytest.raises(UsageError, match=reason) as refused:
        load_plan(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{'rali_plan': 1}", b"[" * 100_000, b"1" * 10_000]
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)

    with pytest.raises(UsageError, match=r"plan\.json is no plan"):
        load_plan(tmp_path / "plan.json")


def test_a_plan_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan(), path)
    whole = path.read_bytes()

    for end in range(len(whole) - 2):
        path.write_bytes(whole[:end])
        with pytest.raises(UsageError):
            load_plan(path)
