"""What a content's row keeps of the work that a user put into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import photo, prepared

from rali.catalog.catalog import Catalog
from rali.catalog.rows import content_row

CONTENT = prepared(photo("/p/a.jpg"), "a").content
RATED = replace(CONTENT, user_work={"rating": "3 stars", "label": "label Grün"})
SAVED = '{"label": "label Gr\\u00fcn", "rating": "3 stars"}'


@pytest.fixture
def connection(own_world: Path) -> Iterator[sqlite3.Connection]:
    path = own_world / "catalog.db"
    with Catalog(path):  # makes the tables
        pass
    with closing(sqlite3.connect(path)) as opened:
        yield opened


def user_work(connection: sqlite3.Connection) -> list[Any]:
    return [work for (work,) in connection.execute("SELECT user_work FROM contents")]


def test_a_new_content_keeps_its_users_work(connection: sqlite3.Connection) -> None:
    content_row(connection, RATED)
    assert user_work(connection) == [SAVED]


def test_a_content_that_holds_no_work_is_known_to_hold_none(connection: sqlite3.Connection) -> None:
    content_row(connection, CONTENT)
    assert user_work(connection) == ["{}"]


@pytest.mark.parametrize(("content", "expected"), [(CONTENT, "{}"), (RATED, SAVED)])
def test_a_content_of_an_earlier_rali_learns_of_its_users_work(
    connection: sqlite3.Connection, content: Any, expected: str
) -> None:
    first = content_row(connection, CONTENT)
    connection.execute("UPDATE contents SET user_work = NULL")
    assert content_row(connection, content) == first
    assert user_work(connection) == [expected]
