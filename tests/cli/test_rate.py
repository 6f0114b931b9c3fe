"""``rali rate``, and what the other commands make of its stars."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import tree

Rali = Callable[..., Any]
BY_SCORE = ("--stars", "threshold", "--edges", "20,40,60,80")


def said(answer: Any) -> dict[str, Any]:
    return {os.path.basename(photo["path"]): photo["properties"] for photo in json.loads(answer.out)["photos"]}


def test_without_apply_the_mapping_is_shown_and_nothing_is_written(rali: Rali, wedding: Path) -> None:
    before = tree(wedding)

    answer = rali("rate", wedding, "--label", "5=Green", "--pick", "5", "--reject", "1")

    assert (answer.code, answer.err) == (0, "")
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["5", "90", "and", "more", "1", "5", "Green", "pick"] in lines
    assert ["3", "30", "to", "70", "4", "3", "–", "–"] in lines
    assert ["1", "below", "10", "1", "-1", "(rejected)", "–", "reject"] in lines
    assert "12 of 12 scored photos would be written: 11 new sidecars, 1 changed" in answer.out
    assert f"rali rate {wedding} --label 5=Green --pick 5 --reject 1 --apply" in answer.out
    assert tree(wedding) == before


def test_with_apply_sidecars_are_written_and_photos_are_not(rali: Rali, wedding: Path) -> None:
    before = tree(wedding)

    answer = rali("rate", wedding, *BY_SCORE, "--apply")

    after = tree(wedding)
    assert (answer.code, answer.err) == (0, "")
    assert "Wrote 12 sidecars.\nUndo with: rali undo " in answer.out
    assert {name: after[name] for name in before if name != "IMG_01.xmp"} == {
        name: state for name, state in before.items() if name != "IMG_01.xmp"
    }
    assert len(set(after) - set(before)) == 11
    assert 'xmp:Rating="1"' in (wedding / "IMG_01.xmp").read_text()
    assert "Nothing was written." in rali("rate", wedding, *BY_SCORE, "--apply").out


def test_the_command_that_is_suggested_can_be_pasted(rali: Rali, remember: Callable[..., None], tmp_path: Path) -> None:
    from fakes import write_jpeg

    folder = tmp_path / "it's a folder"
    remember({write_jpeg(folder / "a.jpg"): 50.0})

    command = rali("rate", folder).out.splitlines()[-1]

    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[:-1] == ["rali", "rate", str(folder), "--apply"]


def test_json_says_what_would_be_written_and_what_was(
    rali: Rali, wedding: Path, rate: Callable[[Path, int], None]
) -> None:
    rate(wedding / "IMG_02.jpg", 4)

    planned = json.loads(rali("rate", wedding, *BY_SCORE, "--json").out)
    done = json.loads(rali("rate", wedding, *BY_SCORE, "--json", "--apply").out)

    assert [kept["rule"] for kept in planned["kept"]] == ["rating"]
    assert planned["photos"] == done["photos"]
    assert (planned["summary"]["written"], planned["summary"]["run"]) == (0, None)
    assert (done["summary"]["written"], done["summary"]["run"]["files"], done["left"]) == (11, 11, [])
    assert done["photos"][0]["properties"]["xmp:Rating"] == "1"


def test_the_users_own_stars_stay(rali: Rali, wedding: Path, rate: Callable[[Path, int], None]) -> None:
    rate(wedding / "IMG_02.jpg", 4)

    answer = rali("rate", wedding, "--apply")

    assert "Left as they are: 1 rating" in answer.out
    assert 'xmp:Rating="4"' in (wedding / "IMG_02.xmp").read_text()
    assert "rali" not in (wedding / "IMG_02.xmp").read_text()
    rali("rate", wedding, "--overwrite-mine", "--apply")
    assert 'xmp:Rating="2"' in (wedding / "IMG_02.xmp").read_text()


@pytest.mark.parametrize(
    "options",
    [
        ["--stars", "taste"],
        ["--edges", "1,2"],
        ["--label", "Green"],
        ["--pick", "6"],
        ["--no-stars"],
        ["--sidecar", "other"],
        ["--pick", "5", "--reject", "4-5"],
    ],
)
def test_a_mistake_is_one_line(rali: Rali, wedding: Path, options: list[str]) -> None:
    answer = rali("rate", wedding, *options)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_a_question_is_asked_on_a_terminal_and_no_is_no(
    wedding: Path, on_terminal: Callable[..., tuple[int, str]]
) -> None:
    before = tree(wedding)

    code, seen = on_terminal("rate", wedding, "--apply", types=b"n\n")

    assert (code, "Write 12 sidecars? [y/N] " in seen, "Nothing was written." in seen) == (0, True, True)
    assert tree(wedding) == before


# --- the other commands ----------------------------------------------------------------------------------------------


def test_rated_photos_can_be_culled_but_not_those_that_the_user_rated_since(rali: Rali, wedding: Path) -> None:
    rali("rate", wedding, *BY_SCORE, "--label", "1=Red", "--pick", "5", "--apply")
    sidecar = wedding / "IMG_02.jpg.xmp"
    sidecar.write_text(sidecar.read_text().replace('xmp:Rating="1"', 'xmp:Rating="5"'))

    document = json.loads(rali("cull", wedding, "--bottom", "3", "--apply", "--json").out)

    assert [(os.path.basename(held["path"]), held["rule"]) for held in document["held_back"]] == [
        ("IMG_02.jpg", "rating")
    ]
    gone = {"IMG_01.jpg", "IMG_01.xmp", "IMG_01.mov", "IMG_03.jpg", "IMG_03.jpg.xmp"}
    assert not gone & {path.name for path in wedding.iterdir()}


def test_sidecars_go_and_come_with_their_photos_and_runs_are_undone_one_by_one(rali: Rali, wedding: Path) -> None:
    before = tree(wedding)
    rating = json.loads(rali("rate", wedding, "--json", "--apply").out)["summary"]["run"]["run"]
    cull = json.loads(rali("cull", wedding, "--bottom", "2", "--apply", "--json").out)["summary"]["run"]["run"]

    listed = json.loads(rali("runs", "--json").out)["runs"]
    assert [(run["run"], run["mode"], run["undone"]) for run in listed] == [
        (cull, "move", False),
        (rating, "rate", False),
    ]

    blocked = rali("undo", rating)
    assert (blocked.code, blocked.out.count("if a cull moved it with its photo, undo that run first")) == (3, 2)
    assert "Brought back 2 photos" in rali("undo").out
    again = rali("undo")
    assert (again.code, again.out) == (0, f"2 sidecars as before run {rating}.\n")
    assert tree(wedding) == before
    assert "undone" in rali("runs").out
    assert f"run {rating} is undone" in rali("undo", rating).out
    assert rali("undo").code == 2


def test_a_rating_is_listed_and_the_last_run_is_undone_first(rali: Rali, wedding: Path) -> None:
    before = tree(wedding)
    rali("cull", wedding, "--bottom", "1", "--apply")
    rali("rate", wedding, "--apply")

    listed = rali("runs").out
    assert "written\n" in listed
    assert "stars by percentile 10, 30, 70, 90: " in listed
    assert rali("undo").out.startswith("11 sidecars as before run ")
    assert "Brought back 1 photo" in rali("undo").out
    assert tree(wedding) == before


def test_undo_only_takes_back_what_matches(rali: Rali, wedding: Path) -> None:
    rali("rate", wedding, "--apply")

    assert rali("undo", "--only", "IMG_07*").out.startswith("1 sidecar as before run ")
    missing = rali("undo", "--only", "IMG_07*")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "1 undone, the others written" in rali("runs").out


def test_list_reads_stars_and_labels_back(rali: Rali, wedding: Path, rate: Callable[[Path, int], None]) -> None:
    rali("rate", wedding, *BY_SCORE, "--label", "5=Green", "--reject", "1", "--apply")
    rate(wedding / "IMG_12.jpg", 2)

    def listed(*options: str, command: str = "list") -> list[str]:
        return [
            os.path.basename(photo["path"])
            for photo in json.loads(rali(command, wedding, *options, "--json").out)["photos"]
        ]

    assert listed("--stars", "2") == ["IMG_03.jpg", "IMG_04.jpg", "IMG_12.jpg"]
    assert listed("--stars", "-1") == ["IMG_01.jpg", "IMG_02.jpg"]
    assert listed("--stars", "4+", "--label", "none") == ["IMG_07.jpg", "IMG_08.jpg"]
    assert listed("--label", "green", "-n", "2") == ["IMG_09.jpg", "IMG_10.jpg"]
    assert listed("--label", "green", "-n", "2", command="best") == ["IMG_12.jpg", "IMG_11.jpg"]
    assert listed("--stars", "0") == []
    assert rali("list", wedding, "--stars", "six").code == 2


def test_a_rescan_after_rating_decodes_nothing_again(
    rali: Rali, own_world: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    from fakes import write_jpeg

    folder = tmp_path / "day"
    for number in range(3):
        write_jpeg(folder / f"{number}.jpg", number)
    score = ("score", folder, "--model", tiny_bundle, "--workers", "1", "--json")
    rali(*score)
    rali("rate", folder, "--apply")

    document = json.loads(rali(*score).out)

    assert [photo["status"] for photo in document["photos"]] == ["cached"] * 3
    assert [photo["companions"] for photo in document["photos"]] == [
        [f"{os.path.basename(photo['path'])}.xmp"] for photo in document["photos"]
    ]


def test_a_killed_rating_is_repaired_by_the_next_command(
    rali: Rali, wedding: Path, own_world: Path, tiny_bundle: Path
) -> None:
    from faults import dies_at, run_in_child

    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scope
    from rali.model.bundle import read_info
    from rali.prepare import recipe_id
    from rali.rating.grading import Wishes, grading_of
    from rali.rating.plan import plan_rating
    from rali.rating.runs import apply_rating

    def work() -> None:
        with Catalog(own_world / "catalog.db") as catalog:
            scoring = catalog.scoring(read_info(tiny_bundle), recipe_id("fast"))
            wishes = Wishes(grading_of("percentile", None, scoring))
            apply_rating(catalog, plan_rating(catalog, scoring, Scope([str(wedding)]), wishes), fs=dies_at(30))

    before = tree(wedding)
    assert run_in_child(work) == 137

    answer = rali("runs")

    assert answer.err.startswith("Run ")
    assert "old or new; nothing is lost" in answer.err
    assert not [name for name in os.listdir(wedding) if name.startswith(".")]
    rali("undo")
    assert tree(wedding) == before
