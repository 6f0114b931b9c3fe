"""Lists in the Data-DeQA-Score format, and the scores of what they list."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import write_jpeg

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.errors import EvaluationError, FailureKind, PathError
from rali.evaluate import predict, read_labels

MakeList = Callable[..., Path]


@pytest.fixture
def make_list(tmp_path: Path) -> MakeList:
    """Return a function that writes a list."""

    def make(entries: object, name: str = "meta.json") -> Path:
        file = tmp_path / name
        file.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        return file

    return make


def entry(image: str, gt_score: object = 3.0) -> dict[str, object]:
    return {"id": image, "image": image, "gt_score": gt_score, "std": 0.5}


def test_a_list_gives_images_with_scores_in_its_order(tmp_path: Path, make_list: MakeList) -> None:
    files = [write_jpeg(tmp_path / "set" / name) for name in ("b.jpg", "a.jpg")]

    labels = read_labels([make_list([entry("set/b.jpg", 4), entry("set/a.jpg", 1.5)])], tmp_path)

    assert [(i.image, i.gt_score, i.file) for i in labels.images] == [
        ("set/b.jpg", 4.0, str(files[0])),
        ("set/a.jpg", 1.5, str(files[1])),
    ]
    assert labels.missing == []


def test_img_path_does_as_well_as_image(tmp_path: Path, make_list: MakeList) -> None:
    write_jpeg(tmp_path / "a.jpg")

    labels = read_labels([make_list([{"img_path": "a.jpg", "gt_score": 1}])], tmp_path)

    assert [i.image for i in labels.images] == ["a.jpg"]


def test_several_lists_are_one_and_a_repeat_counts_once(tmp_path: Path, make_list: MakeList) -> None:
    for name in "abc":
        write_jpeg(tmp_path / name)
    one = make_list([entry("a"), entry("b")], "1.json")
    other = make_list([entry("./b"), entry("c")], "2.json")

    labels = read_labels([one, other], tmp_path)

    assert [i.image for i in labels.images] == ["a", "b", "c"]


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg")
    (tmp_path / "m.json").write_text(json.dumps([entry("a.jpg")]), encoding="utf-8-sig")

    assert len(read_labels([tmp_path / "m.json"], tmp_path).images) == 1


def test_names_that_lead_out_of_the_root_are_fine(tmp_path: Path, make_list: MakeList) -> None:
    file = write_jpeg(tmp_path / "else" / "a.jpg")
    (tmp_path / "root").mkdir()

    labels = read_labels([make_list([entry("../else/a.jpg"), entry(str(file))])], tmp_path / "root")

    assert [i.file for i in labels.images] == [str(file), str(file)]


@pytest.mark.parametrize("name", ["gone.jpg", "folder", "nul\0.jpg", "half\ud800.jpg", "../../../../gone"])
def test_what_is_no_file_is_missing(tmp_path: Path, make_list: MakeList, name: str) -> None:
    (tmp_path / "folder").mkdir()

    labels = read_labels([make_list([entry(name)])], tmp_path)

    assert (labels.images, labels.missing) == ([], [name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("", "is not JSON"),
        ({"image": "a"}, "holds no list"),
        ([], "empty list"),
        ([entry("a"), 7], "entry 2 of 2 is no object"),
        ([entry("a"), {"gt_score": 1}], "entry 2 of 2 names no image"),
        ([{"image": "", "gt_score": 1}], "entry 1 of 1 names no image"),
        ([{"image": ["a"], "gt_score": 1}], "entry 1 of 1 names no image"),
        ([entry("a"), entry("b"), {"image": "c"}], r"entry 3 of 3 \(c\) has no gt_score"),
        ([entry("a", "3.5")], "no number"),
        ([entry("a", True)], "no number"),
        ([entry("a", None)], "no number"),
        ('[{"image": "a", "gt_score": NaN}]', "not finite"),
        ('[{"image": "a", "gt_score": -Infinity}]', "not finite"),
        ([entry("a", 10**400)], "not finite"),
        ([entry("a", 1), entry("./a", 2)], "gt_score 1 .* and 2 .*remove one"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line_that_says_why(
    tmp_path: Path, make_list: MakeList, content: object, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        read_labels([make_list(content)], tmp_path)

    assert "\n" not in str(caught.value)
    assert "meta.json" in str(caught.value)


def test_scores_that_contradict_each_other_in_two_lists_name_both(tmp_path: Path, make_list: MakeList) -> None:
    with pytest.raises(EvaluationError, match=r"1\.json.*2\.json"):
        read_labels([make_list([entry("a", 1)], "1.json"), make_list([entry("a", 2)], "2.json")], tmp_path)


def test_a_list_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"gone\.json: No such file"):
        read_labels([tmp_path / "gone.json"], tmp_path)


def test_a_list_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Is a directory"):
        read_labels([tmp_path], tmp_path)


def test_a_root_that_is_no_folder_is_an_error(tmp_path: Path, make_list: MakeList) -> None:
    with pytest.raises(PathError, match=r"--root"):
        read_labels([make_list([entry("a")])], tmp_path / "gone")


# --- predictions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tiny_bundle: Path, own_world: Path) -> Settings:
    return Settings(db=own_world / "catalog.db", model=str(tiny_bundle), device="cpu", workers=1)


def test_each_listed_file_is_scored_by_itself_a_raws_jpeg_too(
    tmp_path: Path, make_list: MakeList, settings: Settings
) -> None:
    names = ["shot.jpg", "shot.dng", "other.jpg", "no_suffix"]
    for seed, name in enumerate(names):
        write_jpeg(tmp_path / name, seed)

    with Catalog(settings.db) as catalog:
        found = predict(read_labels([make_list([entry(n) for n in names])], tmp_path), catalog, settings)

    accounted = [image.image for image, _ in found.scored] + [image.image for image, _ in found.failed]
    assert sorted(accounted) == sorted(names)
    assert {image.image for image, _ in found.scored} >= {"shot.jpg", "other.jpg", "no_suffix"}


def test_links_to_one_file_share_its_score(tmp_path: Path, make_list: MakeList, settings: Settings) -> None:
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        write_jpeg(tmp_path / name, seed)
    os.link(tmp_path / "a.jpg", tmp_path / "hard.jpg")
    (tmp_path / "soft.jpg").symlink_to("a.jpg")
    names = ["hard.jpg", "a.jpg", "soft.jpg", "b.jpg"]

    with Catalog(settings.db) as catalog:
        found = predict(read_labels([make_list([entry(n) for n in names])], tmp_path), catalog, settings)

    scores = {image.image: score for image, score in found.scored}
    assert list(scores) == names
    assert scores["hard.jpg"] == scores["a.jpg"] == scores["soft.jpg"] != scores["b.jpg"]


def test_a_failure_keeps_its_reason_in_the_second_run_too(
    tmp_path: Path, make_list: MakeList, settings: Settings
) -> None:
    for seed in range(3):
        write_jpeg(tmp_path / f"{seed}.jpg", seed)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    meta = make_list([entry("0.jpg"), entry("bad.jpg"), entry("1.jpg"), entry("2.jpg")])

    for _ in range(2):
        with Catalog(settings.db) as catalog:
            found = predict(read_labels([meta], tmp_path), catalog, settings)

        assert [(image.image, failure.kind) for image, failure in found.failed] == [
            ("bad.jpg", FailureKind.UNSUPPORTED)
        ]
        assert len(found.scored) == 3


def test_what_was_not_reached_before_a_stop_is_no_failure(
    tmp_path: Path, make_list: MakeList, settings: Settings
) -> None:
    for seed in range(3):
        write_jpeg(tmp_path / f"{seed}.jpg", seed)
    labels = read_labels([make_list([entry(f"{n}.jpg") for n in range(3)])], tmp_path)

    with Catalog(settings.db) as catalog:
        found = predict(labels, catalog, settings, stop=lambda: True)

    assert found.run.interrupted
    assert (found.scored, found.failed) == ([], [])


def test_too_few_images_are_refused_before_anything_is_scored(
    tmp_path: Path, make_list: MakeList, settings: Settings
) -> None:
    write_jpeg(tmp_path / "a.jpg")
    labels = read_labels([make_list([entry("a.jpg"), entry("gone.jpg"), entry("away.jpg")])], tmp_path)

    with Catalog(settings.db) as catalog, pytest.raises(EvaluationError, match=r"^1 image to .*at least 3"):
        predict(labels, catalog, settings)

    with Catalog(settings.db) as catalog:
        assert catalog.counts()["photos"] == 0
