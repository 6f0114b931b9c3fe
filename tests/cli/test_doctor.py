"""``rali doctor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_tiny_bundle


@pytest.fixture
def sound_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the default a model that gives 50 to everything, as its golden scores say, in no time."""
    write_tiny_bundle(tmp_path / "fifty.safetensors", score=50.0)
    monkeypatch.setenv("RALI_MODEL", str(tmp_path / "fifty.safetensors"))


def test_a_sound_installation_is_ok_throughout(rali: Callable[..., Any], own_world: Path) -> None:
    answer = rali("doctor")

    assert (answer.code, answer.err) == (0, "")
    assert "BAD" not in answer.out
    assert "torch " in answer.out
    assert "mini" in answer.out
    assert "none yet" in answer.out


@pytest.mark.usefixtures("sound_model")
def test_json_lists_the_findings(rali: Callable[..., Any]) -> None:
    findings = json.loads(rali("doctor", "--json").out)["findings"]

    assert all(set(finding) == {"subject", "ok", "detail"} for finding in findings)
    assert all(finding["ok"] for finding in findings)


def test_what_is_wrong_is_marked_and_ends_with_1(rali: Callable[..., Any], own_world: Path) -> None:
    (own_world / "catalog.db").write_bytes(b"my diary")

    answer = rali("doctor", "--model", "maxi")

    assert answer.code == 1
    assert [line.split()[1] for line in answer.out.splitlines() if line.startswith("BAD")] == ["model", "catalog"]


@pytest.mark.usefixtures("sound_model")
def test_repair_sets_a_damaged_catalog_aside(rali: Callable[..., Any], collection: list[str], own_world: Path) -> None:
    (own_world / "catalog.db").write_bytes(bytes(8192))

    assert rali("doctor").code == 1
    assert list(own_world.glob("*.corrupt-*")) == []
    assert rali("doctor", "--repair").code == 0
    assert len(list(own_world.glob("*.corrupt-*"))) == 1
