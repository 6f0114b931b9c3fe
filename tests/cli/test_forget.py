"""``rali forget``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def test_a_forgotten_folder_leaves_the_rankings(rali: Callable[..., Any], collection: list[str]) -> None:
    folder = os.path.dirname(collection[0])
    assert folder + os.sep in rali("list", "--csv").out

    answer = rali("forget", folder)

    assert answer.code == 0, answer.err
    assert "left out of rankings; scores are kept." in answer.out
    assert folder + os.sep not in rali("list", "--csv").out


def test_a_path_with_nothing_to_forget_is_an_error(rali: Callable[..., Any], collection: list[str]) -> None:
    answer = rali("forget", collection[0] + "x")

    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "rali: no photo there is in rankings: there is nothing to forget\n"
    assert collection[0] in rali("list", "--csv").out
