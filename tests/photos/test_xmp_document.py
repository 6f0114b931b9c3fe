"""A value is changed in a document, and every other byte stays; what cannot be changed safely is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
import sidecars
from hypothesis import given, settings
from hypothesis import strategies as st

from rali.photos.stars import LABEL, PICK, RATING
from rali.photos.user_work import sidecar_work
from rali.photos.xmp import MAX_XMP_BYTES, RALI
from rali.photos.xmp_document import Property, XmpDocument
from rali.photos.xmp_meaning import UnmergeableError, meaning_without

SCORE = Property(RALI, "Score", "rali")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
XMP = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
WANTED: dict[Property, str | None] = {RATING: "4", LABEL: "Grün & <gut>", SCORE: "71.300"}
MINE = {RATING.tag, LABEL.tag, SCORE.tag}


def merge(content: bytes, changes: dict[Property, str | None] | None = None) -> bytes:
    return XmpDocument.read(content).merged(WANTED if changes is None else changes)


def said(content: bytes) -> dict[str, str | None]:
    document = XmpDocument.read(content)
    return {prop.name: document.value(prop) for prop in WANTED}


def bare(inside: str) -> bytes:
    return f"<rdf:RDF {RDF}>{inside}</rdf:RDF>".encode()


@pytest.mark.parametrize("text", sidecars.ALL.values(), ids=sidecars.ALL)
def test_what_is_added_is_all_that_differs(text: str) -> None:
    merged = merge(text.encode())

    assert said(merged) == {"Rating": "4", "Label": "Grün & <gut>", "Score": "71.300"}
    assert meaning_without(merged, MINE) == meaning_without(text.encode(), MINE)
    assert merge(merged) == merged


def test_only_the_values_own_bytes_change() -> None:
    content = sidecars.DARKTABLE.encode()

    assert merge(content, {RATING: "4"}) == content.replace(b'Rating="0"', b'Rating="4"')


def test_a_value_of_an_element_is_changed_in_its_place() -> None:
    merged = merge(sidecars.ELEMENTS.encode(), {RATING: "3", LABEL: "Red"}).decode()

    assert "<xap:Rating>3</xap:Rating>\n  <xap:Label>Red</xap:Label>" in merged
    assert "<mine:Rating>5</mine:Rating>" in merged


def test_new_values_are_spaced_as_the_writers_own() -> None:
    merged = merge(sidecars.LIGHTROOM.encode(), {RATING: "4"}).decode()

    assert '   crs:HasSettings="False"\n   xmp:Rating="4">' in merged


@pytest.mark.parametrize("text", sidecars.ALL.values(), ids=sidecars.ALL)
def test_what_is_taken_away_again_leaves_the_rest_as_it_was(text: str) -> None:
    merged = merge(text.encode(), {SCORE: "1.000"})
    gone = merge(merged, {SCORE: None})

    assert XmpDocument.read(gone).value(SCORE) is None
    assert meaning_without(gone, set()) == meaning_without(text.encode(), set())


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("codec", "bom", "named"),
    [
        ("utf-8", b"", "UTF-8"),
        ("utf-8", b"\xef\xbb\xbf", "utf-8"),
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"", "UTF-16"),
        ("iso8859-1", b"", "ISO-8859-1"),
        ("ascii", b"", "us-ascii"),
    ],
)
def test_encoding_byte_order_mark_and_line_ends_stay(codec: str, bom: bytes, named: str, line_end: str) -> None:
    text = sidecars.DARKTABLE.replace("UTF-8", named).replace("\n", line_end)
    content = bom + text.encode(codec)

    merged = merge(content, {RATING: "4", LABEL: "Grün"})

    assert said(merged) == {"Rating": "4", "Label": "Grün", "Score": None}
    assert sidecar_work("a.xmp", merged)["label"] == "label Grün"
    assert merge(merged, {RATING: "0", LABEL: None}) == content


def test_prefixes_that_mean_something_else_are_not_taken() -> None:
    inside = '<rdf:Description rdf:about="" xmlns:xmp="urn:other" xmp:Rating="9"><xmp:x xmp:y="1"/></rdf:Description>'
    merged = merge(bare(inside), {RATING: "4"})

    assert XmpDocument.read(merged).value(RATING) == "4"
    assert b'xmp:Rating="9"' in merged
    assert meaning_without(merged, {RATING.tag}) == meaning_without(bare(inside), set())


def test_a_value_that_stands_twice_is_changed_twice() -> None:
    inside = (
        f'<rdf:Description {XMP} xmp:Rating="1"/><rdf:Description {XMP}><xmp:Rating>2</xmp:Rating></rdf:Description>'
    )

    merged = merge(bare(inside), {RATING: "4"})

    assert (merged.count(b'"4"'), merged.count(b">4<")) == (1, 1)


def test_settings_of_megabytes_stay_as_they_are() -> None:
    table = "".join(f"<crs:Table_{number}>{'0123456789abcdef' * 4000}</crs:Table_{number}>" for number in range(30))
    crs = 'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"'
    content = bare(f'<rdf:Description rdf:about="" {XMP} {crs} xmp:Rating="0">{table}</rdf:Description>')

    assert merge(content, {RATING: "4"}) == content.replace(b'Rating="0"', b'Rating="4"')


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no XML"),
        (b"not XML", "no XML"),
        (sidecars.LIGHTROOM.encode()[:-20], "no XML"),
        (sidecars.LIGHTROOM.encode() + b"\0\0", "no XML"),
        (b"<a/>", "no XMP"),
        (b'<!DOCTYPE a [<!ENTITY e "x">]>' + bare("<rdf:Description/>"), "no XML"),
        (f"<a>{bare('').decode()}{bare('').decode()}</a>".encode(), "more than one"),
        (bare(""), "no rdf:Description"),
        (bare(f"<rdf:Description {XMP}><xmp:Rating rdf:value='3'/></rdf:Description>"), "xmp:Rating in a form"),
        (
            bare(f"<rdf:Description {XMP}><xmp:Rating>3<!-- ! --></xmp:Rating></rdf:Description>"),
            "xmp:Rating in a form",
        ),
        (
            bare(
                f"<rdf:Description {XMP}><xmp:Rating><rdf:Bag><rdf:li>3</rdf:li></rdf:Bag></xmp:Rating>"
                "</rdf:Description>"
            ),
            "xmp:Rating in a form",
        ),
        (b'<?xml version="1.0" encoding="Shift_JIS"?>' + bare("<rdf:Description/>"), "encoding"),
        (b'<?xml version="1.0" encoding="no such"?>' + bare("<rdf:Description/>"), "encoding"),
        (b'\xef\xbb\xbf<?xml version="1.0" encoding="ISO-8859-1"?>' + bare("<rdf:Description/>"), "encoding"),
        (bare("<rdf:Description/>") + b"<!-- \xff -->", "not in the encoding"),
        (bare("<rdf:Description/>") + b" " * MAX_XMP_BYTES, "too large"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(UnmergeableError, match=why):
        merge(content)


@pytest.mark.parametrize("text", sidecars.ALL.values(), ids=sidecars.ALL)
def test_exiftool_and_exiv2_read_the_values_and_all_else_as_before(text: str, tmp_path: Path) -> None:
    before, after = tmp_path / "before.xmp", tmp_path / "after.xmp"
    before.write_bytes(text.encode())
    after.write_bytes(merge(text.encode(), {RATING: "4", LABEL: "Red", PICK: "1", SCORE: "71.300"}))

    read, was = sidecars.exiftool(after), sidecars.exiftool(before)
    mine = {"XMP-xmp:Rating": 4, "XMP-xmp:Label": "Red", "XMP-xmpDM:Pick": 1, "XMP-rali:Score": 71.3}
    assert {name: read.get(name) for name in mine} == mine
    assert {n: v for n, v in read.items() if n not in mine} == {n: v for n, v in was.items() if n not in mine}

    keys, were = sidecars.exiv2(after), sidecars.exiv2(before)
    ours = {"Xmp.xmp.Rating": ["4"], "Xmp.xmp.Label": ["Red"], "Xmp.xmpDM.pick": ["1"], "Xmp.rali.Score": ["71.300"]}
    assert {key: keys.get(key) for key in ours} == ours
    assert {k: v for k, v in keys.items() if k not in ours} == {k: v for k, v in were.items() if k not in ours}


# --- any document -----------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12)
SPACES = st.sampled_from([" ", "\n   ", "\r\n\t", "  "])
VALUES = st.sampled_from(["-1", "0", "3", "5", "Red", "a&b", 'it\'s "so"'])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a document with properties in all forms, some of them the ones that are going to change."""
    xmp, mine = draw(st.sampled_from(["xmp", "xap", "p1"])), draw(st.sampled_from(["rali", "q"]))
    quote = draw(st.sampled_from(['"', "'"]))
    names = {f"{xmp}:Rating", f"{xmp}:Label", f"{mine}:Score"}
    nodes = []
    left = draw(st.permutations(sorted(names)))
    for number in range(draw(st.integers(1, 3))):
        space = draw(SPACES)
        declared = {xmp: "http://ns.adobe.com/xap/1.0/", mine: RALI, "o": "urn:other"}
        attributes = [f"xmlns:{prefix}={quote}{uri}{quote}" for prefix, uri in declared.items()]
        attributes.append(f"o:Rating={quoteattr(draw(TEXTS))}")
        children = [f"<o:n{number}>{escape(draw(TEXTS))}</o:n{number}>", "<!-- a comment -->"]
        for name in [left.pop() for _ in range(draw(st.integers(0, len(left))))]:
            value = draw(VALUES)
            if draw(st.booleans()):
                attributes.append(f"{name}={quoteattr(value)}")
            else:
                children.append(draw(st.sampled_from([f"<{name}>{escape(value)}</{name}>", f"<{name}/>"])))
        order = draw(st.permutations(children))
        body = space.join(["", *order, ""])
        tag = space.join(["<rdf:Description", f"rdf:about={quote}{quote}", *draw(st.permutations(attributes))])
        nodes.append(f"{tag}{draw(st.sampled_from(['', ' ']))}>{body}</rdf:Description>")
    wrapped = (
        f"<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}>{''.join(nodes)}</rdf:RDF></x:xmpmeta>"
    )
    codec, bom = draw(st.sampled_from([("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe")]))
    return bom + wrapped.encode(codec)


@settings(max_examples=40, deadline=None)
@given(documents(), st.dictionaries(st.sampled_from([*WANTED]), st.none() | VALUES, min_size=1))
def test_any_merge_leaves_everything_else_and_is_done_once(content: bytes, changes: dict[Property, str | None]) -> None:
    before = XmpDocument.read(content)

    merged = before.merged(changes)
    after = XmpDocument.read(merged)

    tags = {prop.tag for prop in changes}
    assert {prop: after.value(prop) for prop in changes} == changes
    assert {p: after.value(p) for p in WANTED if p not in changes} == {
        p: before.value(p) for p in WANTED if p not in changes
    }
    assert meaning_without(after.data, tags) == meaning_without(before.data, tags)
    assert after.merged(changes) == merged


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300) | documents().flatmap(lambda d: st.integers(0, len(d)).map(lambda cut: d[:cut])))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(UnmergeableError):
        merge(content)
