"""``rali model`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import write_jpeg
from make_release import make_release
from typer.testing import CliRunner

from rali.errors import PathError
from rali_cli.app import app

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "tiny-rali")


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, ["model", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_an_imported_model_is_listed_described_verified_chosen_and_removed(release: Path) -> None:
    assert "Imported tiny-rali" in run("import", str(release), "--precision", "float32")
    assert "tiny-rali" in run("list")
    described = json.loads(run("info", "tiny-rali", "--json"))
    assert described["encoder"]["kind"] == "clip-vision"
    assert described["precision"] == "float32"
    assert described["parameters"] > 1000
    verified = run("verify", "tiny-rali")
    *rows, taken = verified.splitlines()[2:]
    ways = [line.split()[:3] for line in rows]
    assert taken.startswith("Taken from now on: ")
    assert ways[:3] == [["torch", "cpu", precision] for precision in ("float32", "float16", "bfloat16")]
    assert run("default", "tiny-rali").strip() == "tiny-rali"
    listed = json.loads(run("list", "--json"))
    assert listed["default"] == "tiny-rali"
    assert [model["name"] for model in listed["models"]] == ["mini", "tiny-rali"]
    run("remove", "tiny-rali")
    assert run("default").strip() == "mini"


def test_info_of_mini_names_licence_source_and_scale() -> None:
    shown = run("info", "mini")
    assert "Apache-2.0" in shown
    assert "LIVE" in shown
    assert "score_high       100" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["info", "no-such"], "there is no model"),
        (["default", "no-such"], "there is no model"),
        (["import", "/no/such/folder"], "not a whole RALI release"),
        (["import", "/no/such/folder", "--precision", "int4"], "float16"),
        (["remove", "mini"], "part of rali"),
    ],
)
def test_what_cannot_be_done_is_an_error_in_one_line(arguments: list[str], complaint: str) -> None:
    from rali.errors import RaliError

    with pytest.raises(RaliError, match=complaint):
        RUNNER.invoke(app, ["model", *arguments], catch_exceptions=False)


def test_verify_takes_photos_and_answers_programs(tiny_bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_jpeg(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")

    results = json.loads(run("verify", str(tiny_bundle), "--photos", str(tmp_path / "photos"), "--json"))["results"]

    assert (results[0]["engine"], results[0]["precision"]) == ("torch", "float32")
    assert (results[0]["photos"], results[0]["passed"], results[0]["largest_change"]) == (3, True, pytest.approx(0))


def test_verify_wants_photos_that_can_be_decoded(tiny_bundle: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["model", "verify", str(tiny_bundle), "--photos", str(tmp_path)])

    assert isinstance(result.exception, PathError)
    assert "no photo below" in str(result.exception)
