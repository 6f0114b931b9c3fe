"""Photos as values, and their names as people see them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from rali.photos.photo import PHOTO_SUFFIXES, SIDECAR_SUFFIXES, Photo, display_path


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("with space 'and' \"quotes\".jpg", "with space 'and' \"quotes\".jpg"),
        ("Größe 写真 📷.jpg", "Größe 写真 📷.jpg"),
        ("two\nlines.jpg", "two\\nlines.jpg"),
        ("tab\tand\rreturn.jpg", "tab\\tand\\rreturn.jpg"),
        ("\x1b[31mred.jpg", "\\x1b[31mred.jpg"),
        ("bell\x07.jpg", "bell\\x07.jpg"),
        ("c1\x9bcsi.jpg", "c1\\x9bcsi.jpg"),
        ("\u202egpj.exe", "\\u202egpj.exe"),  # right-to-left override
        ("\u2066hidden\u2069.jpg", "\\u2066hidden\\u2069.jpg"),
        ("zero\u200bwidth.jpg", "zero\\u200bwidth.jpg"),
        ("line\u2028separator.jpg", "line\\u2028separator.jpg"),
        ("-rf", "-rf"),
    ],
)
def test_a_name_is_shown_on_one_line_and_does_nothing_to_the_terminal(name: str, shown: str) -> None:
    assert display_path(name) == shown


def test_bytes_that_are_not_utf8_are_shown_escaped() -> None:
    assert display_path(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"


def test_a_shown_name_can_always_be_encoded() -> None:
    for code in (*range(0x3000), *range(0xD800, 0xE000), 0x1F600, 0xE0001):
        assert "\n" not in display_path(f"a{chr(code)}b".encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
        display_path(f"a{chr(code)}b").encode("utf-8")


def test_a_path_object_is_shown_as_its_text() -> None:
    assert display_path(Path("/photos/a.jpg")) == "/photos/a.jpg"


def test_a_photo_crosses_to_a_worker_unchanged() -> None:
    photo = Photo(os.fsdecode(b"/photos/caf\xe9.jpg"), 1, 2, 3, 4, ("caf.xmp",))
    assert pickle.loads(pickle.dumps(photo)) == photo
    assert photo.path == Path(photo.file)


def test_suffixes_are_lower_case_and_no_sidecar_is_a_photo() -> None:
    for suffix in PHOTO_SUFFIXES | SIDECAR_SUFFIXES:
        assert suffix == suffix.lower()
        assert suffix.startswith(".")
    assert not PHOTO_SUFFIXES & SIDECAR_SUFFIXES
