"""How answers look."""

from __future__ import annotations

import json

import pytest

from rali_cli.render import print_json


@pytest.mark.parametrize("entries", [[], [{"path": "/p/\udce9.jpg"}], [1, 2, 3]], ids=str)
def test_a_list_and_an_iterator_over_it_are_printed_alike(
    capsys: pytest.CaptureFixture[str], entries: list[object]
) -> None:
    print_json({"photos": entries, "summary": {"photos": len(entries)}})
    printed = capsys.readouterr().out
    print_json({"photos": iter(entries), "summary": {"photos": len(entries)}})

    assert capsys.readouterr().out == printed
    assert json.loads(printed)["photos"] == entries
    assert len(printed.splitlines()) == (5 if not entries else 6 + len(entries)) - 1
