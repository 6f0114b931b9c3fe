"""``rali stats``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def test_stats_show_histogram_quartiles_and_failures_by_kind(rali: Callable[..., Any], collection: list[str]) -> None:
    answer = rali("stats")

    assert (answer.code, answer.err) == (0, "")
    assert "median 50.0" in answer.out
    assert "9 scored photos, 1 failed, 0 not scored yet" in answer.out
    assert "1 corrupt" in answer.out


def test_json_stats_add_up(rali: Callable[..., Any], collection: list[str]) -> None:
    document = json.loads(rali("stats", "--json").out)
    summary = document["summary"]

    assert set(document) == {"model", "photos", "summary"}
    assert (summary["photos"], summary["failed"], summary["failures"]) == (9, 1, {"corrupt": 1})
    assert sum(bar["count"] for bar in summary["histogram"]) == 9
    assert summary["scores"]["mean"] == pytest.approx(50)
    assert (summary["scores"]["min"], summary["scores"]["max"]) == (10, 90)


def test_stats_of_one_folder_leave_out_the_others(rali: Callable[..., Any], collection: list[str]) -> None:
    summary = json.loads(rali("stats", "/photos/spain", "--json").out)["summary"]

    assert (summary["photos"], summary["failed"], summary["scores"]["min"]) == (4, 0, 60)


def test_stats_of_nothing_are_one_line(rali: Callable[..., Any], collection: list[str]) -> None:
    answer = rali("stats", "/nowhere")

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
