"""Whose stars they are, and questions about them."""

from __future__ import annotations

import pytest

from rali.errors import UsageError
from rali.photos.stars import DECISIONS, Stars, StarsWanted, parse_stars, stars_of
from rali.photos.user_work import sidecar_work
from rali.photos.xmp_document import XmpDocument


def sidecar(**attributes: str) -> bytes:
    said = " ".join(f'{name.replace("__", ":")}="{value}"' for name, value in attributes.items())
    return f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
        xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpDM="http://ns.adobe.com/xmp/1.0/DynamicMedia/"
        xmlns:rali="http://ns.rali.dev/1.0/" {said}/></rdf:RDF>""".encode()


@pytest.mark.parametrize(
    ("attributes", "users"),
    [
        ({}, set()),
        ({"xmp__Rating": "0", "xmp__Label": "", "xmpDM__pick": "0"}, set()),
        ({"xmp__Rating": "3"}, {"rating"}),
        ({"xmp__Rating": "-1"}, {"rating"}),
        ({"xmp__Rating": "3", "rali__Rating": "3"}, set()),
        ({"xmp__Rating": "5", "rali__Rating": "3"}, {"rating"}),
        ({"xmp__Rating": "0", "rali__Rating": "3"}, {"rating"}),
        ({"rali__Rating": "3"}, {"rating"}),
        ({"xmp__Label": "Red", "rali__Label": "Red", "xmpDM__pick": "1"}, {"pick"}),
        ({"xmp__Label": "Blue", "rali__Label": "Red", "xmpDM__pick": "1", "rali__Pick": "1"}, {"label"}),
    ],
)
def test_what_rali_wrote_is_its_own_until_somebody_changes_it(attributes: dict[str, str], users: set[str]) -> None:
    document = XmpDocument.read(sidecar(**attributes))

    assert {decision.rule for decision in DECISIONS if decision.is_users(document)} == users


@pytest.mark.parametrize(
    ("attributes", "work"),
    [
        ({"xmp__Rating": "4", "rali__Rating": "4", "xmp__Label": "Red", "rali__Label": "Red"}, {}),
        ({"xmpDM__pick": "1", "rali__Pick": "1"}, {}),
        ({"xmp__Rating": "5", "rali__Rating": "4", "xmp__Label": "Red", "rali__Label": "Red"}, {"rating": "5 stars"}),
        ({"xmp__Rating": "4", "rali__Label": "4"}, {"rating": "4 stars"}),
    ],
)
def test_ralis_own_stars_protect_nothing_and_the_users_do(attributes: dict[str, str], work: dict[str, str]) -> None:
    assert sidecar_work("a.xmp", sidecar(**attributes)) == work


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("4", (4, 4)),
        ("4+", (4, 5)),
        ("3-4", (3, 4)),
        ("0", (0, 0)),
        ("-1", (-1, -1)),
        ("-1-2", (-1, 2)),
        ("0+", (0, 5)),
    ],
)
def test_a_question_about_stars_is_read(text: str, bounds: tuple[int, int]) -> None:
    assert parse_stars(text) == bounds


@pytest.mark.parametrize("text", ["", "6", "4-3", "-2", "four", "4++", "1-2-3", "5 stars"])
def test_another_question_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--stars"):
        parse_stars(text)


def test_a_sidecar_says_more_than_the_photo_and_the_first_that_says_anything_counts() -> None:
    empty, three, five = (
        XmpDocument.read(sidecar(xmp__Rating=rating, xmp__Label=label))
        for rating, label in (("0", ""), ("3", ""), ("5.0", "Green"))
    )

    assert stars_of([], embedded=Stars(2, "Red")) == (2, "Red")
    assert stars_of([empty], embedded=Stars(2, "Red")) == (2, "Red")
    assert stars_of([empty, three, five], embedded=Stars(2, "Red")) == (3, "Green")


def test_labels_are_compared_without_case_and_none_is_none() -> None:
    assert StarsWanted(label="GREEN").fits(Stars(0, "Green"))
    assert StarsWanted(label="none").fits(Stars(3, ""))
    assert not StarsWanted(label="none").fits(Stars(3, "Red"))
    assert not StarsWanted(low=1).fits(Stars(0, "Red"))
