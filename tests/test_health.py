"""What ``rali doctor`` looks at."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.health import Finding, examine
from rali.model.bundle import read_info
from rali.model.choice import best_way, remember
from rali.model.gate import Measured
from rali.model.ways import Way


@pytest.fixture
def settings(own_world: Path, tiny_bundle: Path) -> Settings:
    return Settings(db=own_world / "catalog.db", model=str(tiny_bundle), device="cpu")


def finding(settings: Settings, subject: str, *, repair: bool = False) -> Finding:
    return next(found for found in examine(settings, repair=repair) if found.subject == subject)


def corrupt_files(settings: Settings) -> list[Path]:
    return list(settings.db.parent.glob("*.corrupt-*"))


def test_versions_devices_models_and_catalog_are_all_looked_at(settings: Settings) -> None:
    subjects = {found.subject for found in examine(settings)}

    assert subjects >= {"rali", "libraries", "config", "devices", "models", "model", "catalog"}


def test_mini_is_proved_by_its_golden_scores(settings: Settings) -> None:
    assert finding(replace(settings, model="mini"), "golden scores").ok


def test_a_model_that_computes_something_else_is_found_out(settings: Settings) -> None:
    assert not finding(settings, "golden scores").ok  # the tiny model's own record says 50 for everything


def test_an_unknown_model_is_a_finding_not_an_error(settings: Settings) -> None:
    found = finding(replace(settings, model="maxi"), "model")

    assert not found.ok
    assert "no model 'maxi'" in found.detail


def test_a_catalog_that_is_not_there_yet_is_fine_and_not_made(settings: Settings) -> None:
    assert finding(settings, "catalog").ok
    assert not settings.db.exists()


def test_a_sound_catalog_is_counted(settings: Settings) -> None:
    Catalog(settings.db).__exit__()

    found = finding(settings, "catalog", repair=True)

    assert found.ok
    assert "0 photos" in found.detail
    assert corrupt_files(settings) == []


def _zero_the_head(path: Path) -> None:
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])


def _scribble_in_the_middle(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO folders (path) VALUES (?)", [(b"/%06d" % n,) for n in range(5000)])
        connection.commit()
    content = bytearray(path.read_bytes())
    content[-8192:-4096] = b"\xff" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_zero_the_head, _scribble_in_the_middle])
def test_a_damaged_catalog_is_reported_first_and_set_aside_only_when_asked(settings: Settings, damage: object) -> None:
    Catalog(settings.db).__exit__()
    damage(settings.db)  # type: ignore[operator]
    content = settings.db.read_bytes()

    found = finding(settings, "catalog")
    assert not found.ok
    assert "rali doctor --repair" in found.detail
    assert settings.db.read_bytes() == content

    repaired = finding(settings, "catalog", repair=True)
    assert repaired.ok
    assert [path.read_bytes() for path in corrupt_files(settings)] == [content]
    assert finding(settings, "catalog").ok


def test_a_file_that_is_not_ours_is_never_repaired(settings: Settings) -> None:
    settings.db.write_bytes(b"my diary")

    assert not finding(settings, "catalog", repair=True).ok
    assert settings.db.read_bytes() == b"my diary"


def test_the_engine_that_is_taken_is_named_and_what_to_run_where_nothing_was_measured(settings: Settings) -> None:
    found = finding(settings, "engine")

    assert found.ok
    default = best_way(read_info(Path(settings.model)), settings, [])
    assert found.detail == f"{default}: float32 needs no measurement; for the others: rali doctor --measure"
    assert "the recipe exact" in finding(replace(settings, recipe="exact"), "engine").detail


def test_what_was_measured_tells_why_the_others_are_not_taken(settings: Settings) -> None:
    torch, half = (Way("torch", "cpu", precision) for precision in ("float32", "bfloat16"))
    remember(
        read_info(Path(settings.model)),
        [
            Measured(torch, 16, 0.0, 0.0, None, 10.0, True),
            Measured(half, 16, 2.0, 0.02, None, 20.0, False),
            Measured(Way("torch", "cpu", "float16"), 2, photos_per_s=1.0, problem="slower"),
        ],
    )

    told = [found.detail for found in examine(settings) if found.subject in ("engine", "")]

    assert told == [
        "torch float32 on cpu: 10.0 photos/s, 0 % of the scale off at most: taken",
        "torch bfloat16 on cpu: 20.0 photos/s, 2 % of the scale off at most: not used: too far off",
        "torch float16 on cpu: 1.0 photos/s: slower",
    ]
