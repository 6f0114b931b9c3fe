"""What somebody decided about a photo in another program is found wherever it is, and what is unclear counts."""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import chunk, dng, encoded, every_format, picture, written
from PIL import Image

from rali.photos.decode import decode
from rali.photos.photo import SIDECAR_SUFFIXES
from rali.photos.user_work import WORK_RULES, embedded_work, file_work, sidecar_work
from rali.photos.xmp import MAX_XMP_BYTES

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpDM": "http://ns.adobe.com/xmp/1.0/DynamicMedia/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "Microsoft": "http://ns.microsoft.com/photo/1.0",
    "photomechanic": "http://ns.camerabits.com/photomechanic/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "darktable": "http://darktable.sf.net/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
JPEG = encoded(picture(64, 48), "jpeg")
RATING_TAG, PERCENT_TAG = 0x4746, 0x4749
THREE_STARS = {"rating": "3 stars"}
CAMERA_RAW = {"develop": "develop settings (Camera Raw)"}


def description(attributes: str = "", body: str = "") -> str:
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return f'<rdf:Description rdf:about="" {declared} {attributes}>{body}</rdf:Description>'


def bare(inside: str) -> str:
    return f'<rdf:RDF xmlns:rdf="{RDF}">{inside}</rdf:RDF>'


def packet(attributes: str = "", body: str = "") -> bytes:
    """Make a packet as Adobe's library writes it into files."""
    inside = bare(description(attributes, body))
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 5.5.0">\n {inside}\n</x:xmpmeta>'
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}{" " * 200}<?xpacket end="w"?>'.encode()


def as_attributes(**properties: str) -> bytes:
    return packet(" ".join(f'{name.replace("__", ":")}="{value}"' for name, value in properties.items()))


def as_elements(**properties: str) -> bytes:
    names = {name.replace("__", ":"): value for name, value in properties.items()}
    return packet("", "".join(f"<{name}>\n {value} </{name}>" for name, value in names.items()))


RATED = as_attributes(xmp__Rating="3")


# --- what counts as work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written_as", [as_attributes, as_elements])
@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"xmp__Rating": "5"}, {"rating": "5 stars"}),
        ({"xmp__Rating": "1"}, {"rating": "1 star"}),
        ({"xmp__Rating": "3.0"}, THREE_STARS),
        ({"xmp__Rating": "2.5"}, {"rating": "2.5 stars"}),
        ({"MicrosoftPhoto__Rating": "1"}, {"rating": "1 star"}),
        ({"MicrosoftPhoto__Rating": "50"}, THREE_STARS),
        ({"Microsoft__Rating": "99"}, {"rating": "5 stars"}),
        ({"acdsee__rating": "3"}, THREE_STARS),
        ({"xmp__Label": "Red"}, {"label": "label Red"}),
        ({"xmp__Label": "Grün"}, {"label": "label Grün"}),
        ({"photoshop__Urgency": "1"}, {"label": "urgency 1"}),
        ({"digiKam__ColorLabel": "4"}, {"label": "label Green"}),
        ({"photomechanic__ColorClass": "8"}, {"label": "colour class 8"}),
        ({"xmpDM__pick": "1"}, {"pick": "picked"}),
        ({"xmpDM__good": "true"}, {"pick": "marked good"}),
        ({"digiKam__PickLabel": "3"}, {"pick": "picked"}),
        ({"photomechanic__Tagged": "True"}, {"pick": "tagged"}),
        ({"acdsee__tagged": "True"}, {"pick": "tagged"}),
        (
            {"photomechanic__Prefs": "1:2:3:000455"},
            {"pick": "tagged", "label": "colour class 2", "rating": "3 stars"},
        ),
        ({"crs__HasSettings": "True", "crs__Version": "15.0"}, CAMERA_RAW),
        ({"crs__HasSettings": "False", "crs__HasCrop": "True"}, CAMERA_RAW),
        ({"crs__Exposure2012": "+0.35"}, CAMERA_RAW),
        ({"crs__AlreadyApplied": "True"}, CAMERA_RAW),
        ({"acdsee__rawrppused": "True"}, {"develop": "develop settings (ACDSee)"}),
        (
            {"xmp__Rating": "4", "xmp__Label": "Blue", "xmpDM__pick": "1", "crs__HasCrop": "true"},
            {"rating": "4 stars", "label": "label Blue", "pick": "picked", **CAMERA_RAW},
        ),
    ],
    ids=str,
)
def test_what_a_photographer_did_is_work(written_as: object, properties: dict[str, str], expected: object) -> None:
    made = written_as(**properties)  # type: ignore[operator]
    assert sidecar_work("IMG.xmp", made) == expected
    assert embedded_work(b"anything" + made + b"anything") == expected


@pytest.mark.parametrize("written_as", [as_attributes, as_elements])
@pytest.mark.parametrize(
    "properties",
    [
        {"xmp__Rating": "0"},
        {"xmp__Rating": "-1"},
        {"xmp__Rating": ""},
        {"xmp__Rating": "many"},
        {"MicrosoftPhoto__Rating": "0"},
        {"xmp__Label": ""},
        {"xmp__Label": "None"},
        {"photoshop__Urgency": "0"},
        {"digiKam__ColorLabel": "0"},
        {"digiKam__ColorLabel": "-1"},
        {"photomechanic__ColorClass": "0"},
        {"photomechanic__Prefs": "0:0:0:-00001"},
        {"photomechanic__Tagged": "False"},
        {"xmpDM__pick": "0"},
        {"xmpDM__pick": "-1"},
        {"xmpDM__good": "false"},
        {"digiKam__PickLabel": "0"},
        {"digiKam__PickLabel": "1"},
        {"digiKam__PickLabel": "2"},
        {"crs__HasSettings": "False", "crs__Version": "15.0", "crs__HasCrop": "False", "crs__Exposure2012": "0.00"},
        {"crs__RawFileName": "IMG.CR3", "crs__ProcessVersion": "11.0", "crs__AlreadyApplied": "False"},
        {"dc__format": "image/jpeg", "xmp__CreatorTool": "Camera 1.0"},
    ],
    ids=str,
)
def test_what_cameras_write_and_rejects_are_no_work(written_as: object, properties: dict[str, str]) -> None:
    made = written_as(**properties)  # type: ignore[operator]
    assert sidecar_work("IMG.xmp", made) == {}
    assert embedded_work(made) == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<xmp:Rating><rdf:Description><rdf:value>3</rdf:value></rdf:Description></xmp:Rating>", THREE_STARS),
        ('<xmp:Rating rdf:value="3" dc:source="me"/>', THREE_STARS),
        ('<xmp:Label><rdf:Alt><rdf:li xml:lang="x-default">Red</rdf:li></rdf:Alt></xmp:Label>', {"label": "label Red"}),
        ('<darktable:history><rdf:Seq><rdf:li darktable:num="0"/></rdf:Seq></darktable:history>', "darktable"),
        ("<darktable:history_operation><rdf:Bag><rdf:li>crop</rdf:li></rdf:Bag></darktable:history_operation>", "dark"),
        ("<darktable:history><rdf:Seq/></darktable:history>", {}),
        (
            "<darktable:colorlabels><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></darktable:colorlabels>",
            {"label": "label Green"},
        ),
        ("<crs:ToneCurvePV2012><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurvePV2012>", CAMERA_RAW),
        ('<crs:Look><rdf:Description crs:Name="Adobe Color"/></crs:Look>', CAMERA_RAW),
    ],
)
def test_values_may_be_lists_and_structures(body: str, expected: object) -> None:
    if isinstance(expected, str):
        expected = {"develop": "develop settings (darktable)"}
    assert sidecar_work("IMG.xmp", packet("", body)) == expected


def test_prefixes_are_anybodys_choice() -> None:
    odd = (
        f'<m:xmpmeta xmlns:m="adobe:ns:meta/" xmlns:r="{RDF}"><r:RDF>'
        f'<r:Description xmlns:a="{NAMESPACES["xmp"]}" a:Rating="3"/></r:RDF></m:xmpmeta>'
    ).encode()
    assert sidecar_work("IMG.xmp", odd) == THREE_STARS
    assert embedded_work(odd) == THREE_STARS


def test_an_equal_name_of_another_namespace_says_nothing() -> None:
    assert sidecar_work("IMG.xmp", packet('xmlns:y="urn:other" y:Rating="5" y:Label="Red"')) == {}


def test_the_rating_of_a_picture_inside_the_picture_is_not_the_photos() -> None:
    body = (
        '<xmp:Ingredients xmlns:xmp="http://ns.adobe.com/xap/1.0/mm/"><rdf:Bag><rdf:li>'
        f"{description('', '<xmp:Rating>5</xmp:Rating>')}</rdf:li></rdf:Bag></xmp:Ingredients>"
    )
    assert sidecar_work("IMG.xmp", packet("", body)) == {}


def test_several_descriptions_are_one() -> None:
    both = bare(description('xmp:Rating="0"') + description('xmp:Rating="3"') + description('xmp:Label="Red"'))
    assert sidecar_work("IMG.xmp", both.encode()) == {**THREE_STARS, "label": "label Red"}


@pytest.mark.parametrize("label", ["A" * 5000, "a\u202eb", "a&#10;b&#9;c", "\u009b31m"])
def test_a_detail_is_one_short_line_that_is_safe_to_print(label: str) -> None:
    (detail,) = sidecar_work("IMG.xmp", as_attributes(xmp__Label=label)).values()
    assert detail.isprintable()
    assert len(detail) <= 100
    assert "\u202e" not in detail


# --- inside photos --------------------------------------------------------------------------------------------------


def with_packet(kind: str, xmp: bytes) -> bytes:
    image = picture(64, 48)
    if kind == "png":
        return with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    if kind == "tiff":
        return encoded(image, "tiff", tiffinfo={700: xmp})
    if kind == "dng":
        return dng(more={700: (1, xmp)})
    if kind == "dng with preview":
        return dng(preview=encoded(image, "jpeg"), more={700: (7, xmp)})
    if kind == "gif":
        whole = encoded(image, "gif")
        magic = b"\1" + bytes(range(255, -1, -1)) + b"\0"
        return whole[:-1] + b"!\xff\x0bXMP DataXMP" + xmp + magic + whole[-1:]
    return encoded(image, kind, xmp=xmp)


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """Put a chunk in front of a PNG's pixels."""
    whole = encoded(picture(64, 48), "png")
    return whole[:33] + chunk(kind, data) + whole[33:]


KINDS = ("jpeg", "png", "tiff", "webp", "gif", "heif", "avif", "dng", "dng with preview")


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_is_found_in_every_format(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "photo", with_packet(kind, RATED))
    assert file_work(file) == THREE_STARS
    assert decode(file, limit_px=1_000_000).user_work == THREE_STARS


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_of_a_camera_protects_nothing(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "photo", with_packet(kind, as_attributes(xmp__Rating="0", xmp__CreatorTool="Camera")))
    assert file_work(file) == {}
    assert decode(file, limit_px=1_000_000).user_work == {}


@pytest.mark.parametrize("name", every_format())
def test_a_photo_without_a_packet_holds_no_work(name: str) -> None:
    assert embedded_work(every_format()[name][1]) == {}


@pytest.mark.parametrize("form", ["packet", "no wrapper", "bare", "old", "single quotes"])
def test_a_packet_is_found_in_each_of_its_forms(form: str) -> None:
    inside = bare(description('xmp:Rating="3"'))
    made = {
        "packet": RATED.decode(),
        "no wrapper": f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{inside}</x:xmpmeta>',
        "bare": inside,
        "old": f'<x:xapmeta xmlns:x="adobe:ns:meta/">{inside}</x:xapmeta>',
        "single quotes": RATED.decode().replace('"', "'"),
    }[form]
    assert embedded_work(with_packet("jpeg", made.encode())) == THREE_STARS


def test_all_packets_of_a_file_count() -> None:
    several = JPEG + as_attributes(xmp__Rating="0") + as_attributes(xmp__Label="Red") + b"..." + RATED
    assert embedded_work(several) == {**THREE_STARS, "label": "label Red"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(RATED)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0words\0" + zlib.compress(RATED)),
        (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(b"\nxmp\n  9999\n" + RATED.hex("\n", 36).encode())),
        (b"tEXt", b"Raw profile type xmp\0" + b"\nxmp\n  9999\n" + RATED.hex("\n", 36).encode()),
    ],
    ids=["compressed", "compressed with a language", "compressed digits", "digits"],
)
def test_a_packet_is_found_where_a_png_compresses_it(tmp_path: Path, kind: bytes, data: bytes) -> None:
    whole = with_chunk(kind, data)
    assert embedded_work(whole) == THREE_STARS
    assert file_work(written(tmp_path / "photo.png", whole)) == THREE_STARS


@pytest.mark.parametrize("packed", [b"garbage", zlib.compress(RATED)[:-9], zlib.compress(bytes(64 << 20))])
def test_a_compressed_packet_that_cannot_be_read_counts_and_costs_little(packed: bytes) -> None:
    started = time.perf_counter()
    assert set(embedded_work(with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed))) == {"unreadable"}
    assert time.perf_counter() - started < 5


def extension(xmp: bytes, *, size: int | None = None, part_bytes: int = 60_000) -> bytes:
    """Cut a packet up into the segments of a JPEG."""
    segments = b""
    for at in range(0, len(xmp), part_bytes):
        part = xmp[at : at + part_bytes]
        head = b"http://ns.adobe.com/xmp/extension/\0" + b"0123456789ABCDEF" * 2
        head += struct.pack(">II", len(xmp) if size is None else size, at)
        segments += b"\xff\xe1" + struct.pack(">H", 2 + len(head + part)) + head + part
    return segments


def long_document(**properties: str) -> bytes:
    depths = f"<dc:source>{'QUJD' * 60_000}</dc:source>"
    attributes = " ".join(f'{name.replace("__", ":")}="{value}"' for name, value in properties.items())
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{bare(description(attributes, depths))}</x:xmpmeta>'.encode()


def test_a_packet_longer_than_a_jpeg_segment_is_put_together() -> None:
    assert embedded_work(JPEG[:2] + extension(long_document()) + JPEG[2:]) == {}
    settings_ = long_document(crs__HasSettings="True")
    assert embedded_work(JPEG[:2] + extension(settings_) + JPEG[2:]) == CAMERA_RAW
    rated = with_packet("jpeg", RATED)
    assert embedded_work(rated[:2] + extension(settings_) + rated[2:]) == {**THREE_STARS, **CAMERA_RAW}


def test_a_long_packet_of_which_a_part_is_gone_counts_as_work() -> None:
    document = long_document()
    for broken in (extension(document)[:50_000], extension(document, size=len(document) + 1), extension(document)[:80]):
        assert set(embedded_work(JPEG[:2] + broken + JPEG[2:])) <= {"unreadable"}
    assert set(embedded_work(JPEG[:2] + extension(document, size=len(document) + 1) + JPEG[2:])) == {"unreadable"}


def raf(jpeg: bytes) -> bytes:
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">II", 148, len(jpeg)) + bytes(56) + jpeg


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def test_a_packet_is_found_in_raws_of_other_makers(tmp_path: Path) -> None:
    rated = with_packet("jpeg", RATED)
    noise = b"\x5a" * 3_000_000
    xmp_box = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + RATED)
    rw2 = dng(more={700: (1, RATED)})
    for whole in (
        raf(rated) + noise,
        box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", bytes(99)) + xmp_box + box(b"mdat", noise),
        box(b"ftyp", b"crx \0\0\0\1") + box(b"mdat", noise) + xmp_box,
        b"IIU\0" + rw2[4:],
        b"IIRO" + rw2[4:],
        b"\0MRM" + noise + RATED,
    ):
        assert embedded_work(whole) == THREE_STARS
        assert file_work(written(tmp_path / "photo.raw", whole)) == THREE_STARS


def test_a_packet_far_back_in_a_tiff_is_found_by_its_tag(tmp_path: Path) -> None:
    head = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 700, 1, len(RATED), 5_000_000) + bytes(4)
    whole = head.ljust(5_000_000, b"\x5a") + RATED + b"\x5a" * 999
    assert embedded_work(whole) == THREE_STARS
    file = written(tmp_path / "photo.dng", whole)
    assert file_work(file) == THREE_STARS
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert embedded_work(mapped) == THREE_STARS


@pytest.mark.parametrize("shift", range(0, len(RATED), 61))
def test_a_packet_is_found_across_the_parts_in_which_a_file_is_read(tmp_path: Path, shift: int) -> None:
    whole = b"\0MRM".ljust((1 << 20) - shift, b"<") + RATED
    assert file_work(written(tmp_path / "photo.mrw", whole)) == THREE_STARS


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp", "heif"])
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({RATING_TAG: 3}, THREE_STARS),
        ({RATING_TAG: 3, PERCENT_TAG: 50}, THREE_STARS),
        ({PERCENT_TAG: 50}, THREE_STARS),
        ({RATING_TAG: 0, PERCENT_TAG: 0}, {}),
    ],
    ids=str,
)
def test_exif_holds_a_rating_too(kind: str, tags: dict[int, int], expected: dict[str, str]) -> None:
    about = Image.Exif()
    about.update(tags)
    assert embedded_work(encoded(picture(64, 48), kind, exif=about.tobytes())) == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_holds_a_rating(order: str) -> None:
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IHHHIH", 8, 1, RATING_TAG, 3, 1, 3)
    segment = b"Exif\0\0" + tiff + bytes(6)
    whole = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + JPEG[2:]
    assert embedded_work(whole) == THREE_STARS


@pytest.mark.parametrize(
    "broken",
    [
        RATED.replace(b"</rdf:RDF>", b""),
        RATED.replace(b"</x:xmpmeta>", b""),
        RATED.replace(b"xmlns:xmp=", b"xmlns:xyz="),
        RATED.replace(b'Rating="3"', b'Rating="3"\0'),
    ],
    ids=["cut", "no end", "no namespace", "NUL"],
)
def test_a_packet_that_cannot_be_read_counts_as_work(broken: bytes) -> None:
    assert set(embedded_work(with_packet("webp", broken))) == {"unreadable"}


def test_beside_a_packet_that_cannot_be_read_the_others_still_count() -> None:
    both = RATED.replace(b"</rdf:RDF>", b"") + b"..." + RATED
    assert embedded_work(both) == {**THREE_STARS, "unreadable": "XMP in the photo that cannot be read"}


def test_broken_text_in_a_caption_does_not_make_a_rating_doubtful() -> None:
    latin = packet('xmp:Rating="3"', "<dc:title>caf?</dc:title>").replace(b"caf?", b"caf\xe9")
    assert embedded_work(JPEG + latin) == THREE_STARS


@pytest.mark.parametrize(
    "text",
    [
        b'{"@context": {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"}}',
        b"http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        b"&lt;rdf:RDF xmlns:rdf=&quot;http://www.w3.org/1999/02/22-rdf-syntax-ns#&quot;&gt;",
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>',
    ],
)
def test_a_mention_of_rdf_is_no_packet(text: bytes) -> None:
    assert embedded_work(JPEG + text + JPEG) == {}
    assert embedded_work(JPEG + text + RATED) == THREE_STARS


def test_more_packets_than_a_photo_has_count_as_work_and_cost_little() -> None:
    started = time.perf_counter()
    assert "unreadable" in embedded_work(RATED * 3000)
    assert "unreadable" in embedded_work(b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' * 100_000)
    assert "unreadable" in embedded_work(packet("", "<dc:a/>" * 1000 + "<!--" + "x" * (MAX_XMP_BYTES + 1) + "-->"))
    assert time.perf_counter() - started < 5


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([RATED, bare(description("")).encode()]))
def test_bytes_around_a_packet_change_nothing(before: bytes, after: bytes, xmp: bytes) -> None:
    assert embedded_work(b"\xff\xd8\xff" + before + xmp + after) == embedded_work(xmp)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF", b"\0\0\0\x10ftypcrx "]
    ),
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([RDF.encode(), RATED, RATED[:200], b"Exif\0\0II*\0", extension(RATED, part_bytes=100)]),
        ),
        max_size=8,
    ),
)
def test_any_photo_gives_an_answer(head: bytes, parts: list[bytes]) -> None:
    assert set(embedded_work(head + b"".join(parts))) <= set(WORK_RULES)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(RATED) - 1), st.integers(0, 255))
def test_any_damaged_packet_gives_an_answer(at: int, value: int) -> None:
    damaged = RATED[:at] + bytes([value]) + RATED[at + 1 :]
    assert set(embedded_work(damaged)) <= set(WORK_RULES)
    assert set(sidecar_work("IMG.xmp", damaged)) <= set(WORK_RULES)


# --- beside photos --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le with mark", "utf-16-be with mark"])
def test_a_sidecar_may_be_of_any_encoding_that_xmp_allows(encoding: str) -> None:
    text = '<?xml version="1.0"?>\n' + bare(description('xmp:Label="Größe"'))
    codec = encoding.removesuffix(" with mark")
    data = text.encode(codec) if codec == encoding else ("\ufeff" + text).encode(codec)
    assert sidecar_work("IMG.xmp", data) == {"label": "label Größe"}


def test_a_sidecar_may_name_its_encoding() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + bare(description('xmp:Label="Größe"'))
    assert sidecar_work("IMG.xmp", text.encode("latin-1")) == {"label": "label Größe"}


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        bytes(4096),
        b"not XML",
        b"<html><body>The requested file was not found.</body></html>",
        RATED[: len(RATED) // 2],
        RATED.decode().encode("utf-32"),
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"\xff" * 100,
    ],
    ids=["NUL", "zeros", "text", "HTML", "cut", "UTF-32", "unknown encoding", "ones"],
)
def test_a_sidecar_that_cannot_be_read_counts_as_work(data: bytes) -> None:
    assert sidecar_work("IMG.xmp", data) == {"unreadable": "IMG.xmp cannot be read as XMP"}


def test_an_empty_sidecar_holds_nothing(tmp_path: Path) -> None:
    assert all(sidecar_work(f"IMG{suffix}", b"") == {} for suffix in SIDECAR_SUFFIXES)
    assert file_work(written(tmp_path / "IMG.xmp", b"")) == {}
    assert file_work(written(tmp_path / "IMG.jpg", b"")) == {}


def test_a_sidecar_that_grows_when_it_is_read_is_not_read() -> None:
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(12))
    bomb = f'<!DOCTYPE r [<!ENTITY l0 "lol">{laughs}]>{bare(description("", "<dc:title>&l12;</dc:title>"))}'
    outside = (
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>{bare(description("", "<xmp:Label>&x;</xmp:Label>"))}'
    )
    started = time.perf_counter()
    for hostile in (bomb.encode(), outside.encode(), RATED + bytes(MAX_XMP_BYTES)):
        assert set(sidecar_work("IMG.xmp", hostile)) == {"unreadable"}
    assert set(embedded_work(JPEG + bare(description("", "&l12;")).encode())) == {"unreadable"}
    assert time.perf_counter() - started < 2


def test_a_deeply_nested_sidecar_is_read_without_harm() -> None:
    deep = packet('xmp:Rating="3"', "<dc:source>" + "<dc:a>" * 100_000 + "</dc:a>" * 100_000 + "</dc:source>")
    assert sidecar_work("IMG.xmp", deep) == THREE_STARS


@pytest.mark.parametrize(
    ("suffix", "program"),
    [
        (".pp3", "RawTherapee"),
        (".dop", "DxO PhotoLab"),
        (".cos", "Capture One"),
        (".on1", "ON1"),
        (".vrd", "Canon DPP"),
        (".DOP", "DxO PhotoLab"),
    ],
)
def test_settings_of_other_programs_beside_a_photo_are_work(tmp_path: Path, suffix: str, program: str) -> None:
    expected = {"develop": f"{program} settings in IMG{suffix}"}
    assert sidecar_work(f"IMG{suffix}", b"anything") == expected
    assert file_work(written(tmp_path / f"IMG{suffix}", b"anything")) == expected


def test_rawtherapee_keeps_rating_and_label_with_its_settings() -> None:
    work = sidecar_work("IMG.pp3", b"[Version]\nVersion=349\n\n[General]\nRank=3\nColorLabel=2\nInTrash=false\n")
    assert work == {**THREE_STARS, "label": "label Yellow", "develop": "RawTherapee settings in IMG.pp3"}
    assert set(sidecar_work("IMG.pp3", b"[General]\nRank=0\nColorLabel=0\n")) == {"develop"}


@pytest.mark.parametrize("suffix", [".aae", ".mov", ".thm", ".wav"])
def test_what_a_camera_puts_beside_a_photo_is_no_work(tmp_path: Path, suffix: str) -> None:
    assert sidecar_work(f"IMG{suffix}", RATED) == {}
    assert file_work(written(tmp_path / f"IMG{suffix}", RATED)) == {}


def test_a_sidecar_is_known_by_its_name_in_any_case(tmp_path: Path) -> None:
    for name in ("IMG.xmp", "IMG.CR3.XMP"):
        assert file_work(written(tmp_path / name, RATED)) == THREE_STARS


def test_a_name_in_a_detail_is_safe_to_store_and_to_print() -> None:
    (detail,) = sidecar_work("caf\udce9\n\u202e" + "x" * 300 + ".xmp", b"broken").values()
    assert detail.startswith("caf\\xe9")
    assert detail.isprintable()
    assert len(detail) <= 100


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SIDECAR_SUFFIXES)), st.binary(max_size=200))
def test_any_sidecar_gives_an_answer(suffix: str, data: bytes) -> None:
    assert set(sidecar_work(f"IMG{suffix}", data)) <= set(WORK_RULES)


def test_a_file_that_cannot_be_opened_is_for_the_caller_to_judge(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_work(str(tmp_path / "gone.jpg"))
    with pytest.raises(IsADirectoryError):
        file_work(str(tmp_path))


# --- in the picture's identity --------------------------------------------------------------------------------------


def test_a_raw_that_was_rated_in_place_has_another_identity(tmp_path: Path) -> None:
    padding = " " * 200_000  # so that the packet lies in neither end of the file
    large = {"more": {700: (1, padding.encode() + as_attributes(xmp__Rating="0") + padding.encode())}}
    before = dng(width=600, height=400, **large)  # type: ignore[arg-type]
    after = before.replace(b'xmp:Rating="0"', b'xmp:Rating="3"')
    assert len(after) == len(before)
    one, other = (decode(written(tmp_path / "photo", data), limit_px=1_000_000) for data in (before, after))
    assert (one.user_work, other.user_work) == ({}, THREE_STARS)
    assert one.content_hash != other.content_hash
