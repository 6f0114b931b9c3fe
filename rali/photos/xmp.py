"""XMP packets and EXIF ratings in a photo file's bytes, whatever its format: where they are, not what they say."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RALI = "http://ns.rali.dev/1.0/"
MAX_XMP_BYTES = 16 << 20  # of all packets of a photo together, or of a sidecar
_MAX_PACKETS = 64
_MAX_PLACES = 1000
_RDF = RDF.encode()
_LOOK_BACK_BYTES = 4096
_START_TAG = re.compile(rb"<([A-Za-z_][\w.:-]*)\s[^<>]*")
_META_TAG = re.compile(rb"<([\w.-]+:x[am]pmeta)\b")
# A JPEG's segment holds 64 KB, so that what does not fit is cut up: signature, GUID, length of all, offset of this.
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_KEY_BYTES = len(_EXTENSION) + 32
_EXTENSION_HEAD_BYTES = _EXTENSION_KEY_BYTES + 4 + 4

_TIFF_HEADS = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # and Olympus's and Panasonic's RAWs
_RAW_HEAD_BYTES = 1 << 20
_INTEGER_BYTES = {1: 1, 3: 2, 4: 4, 7: 1}
_XMP_TAG, _RATING, _RATING_PERCENT = 700, 0x4746, 0x4749
# What stands before the TIFF that holds EXIF in a file that is none, and how many bytes lie between.
_EXIF_MARK = (b"Exif\0\0", 0)
_EXIF_MARKS = {b"\x89PNG": ((b"eXIf", 0),), b"RIFF": ((b"EXIF", 4), _EXIF_MARK)}
_CR3_EXIF_MARK = (b"CMT1", 0)
_EXIF_EDGE_BYTES = 256 << 10
_MAX_EXIF_BLOCKS = 8

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_XMP, _PNG_RAW_PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type xmp\0"


class Bytes(Protocol):
    """What is asked of a file's bytes: ``bytes``, an ``mmap``, or a file that is read where it is looked at."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...
    def find(self, what: bytes, start: int, end: int, /) -> int:
        """Return where ``what`` begins; -1 if it does not lie between ``start`` and ``end``."""


def xmp_packets(data: Bytes) -> Iterator[bytes | None]:
    """Yield the XMP packets of a photo file, each as an XML document; None for one that is not there whole.

    In a TIFF, or a RAW built like one, in CR3 and in RAF it is known where to look, and 30 MB of sensor data need not
    come off the disk. Any other file is searched from end to end, as the XMP specification lets a reader do.
    """
    left = MAX_XMP_BYTES
    for number, packet in enumerate(_candidates(data)):
        left -= len(packet or b"")
        if number >= _MAX_PACKETS or left < 0:
            yield None
            return
        yield packet


def exif_rating(data: Bytes) -> tuple[int, int]:
    """Return the stars and the percentage that a photo file's EXIF gives it; 0 for none."""
    stars = percent = 0
    for at in islice(_exif_blocks(data), _MAX_EXIF_BLOCKS):
        tags = _first_directory(data, at) or {}
        stars = stars or _single(tags, _RATING)
        percent = percent or _single(tags, _RATING_PERCENT)
    return stars, percent


def _exif_blocks(data: Bytes) -> Iterator[int]:
    """Yield where a TIFF begins that holds EXIF."""
    if data[:4] in _TIFF_HEADS:
        yield 0
        return
    marks = _EXIF_MARKS.get(data[:4], (_CR3_EXIF_MARK if _is_cr3(data) else _EXIF_MARK,))
    for start in sorted({0, max(0, len(data) - _EXIF_EDGE_BYTES)}):
        edge = data[start : start + _EXIF_EDGE_BYTES]
        for mark, gap in marks:
            at = edge.find(mark)
            while at != -1:
                block_at = at + len(mark) + gap
                if edge[block_at : block_at + 4] in _TIFF_HEADS[:2]:
                    yield start + block_at
                at = edge.find(mark, at + 1)


def _candidates(data: Bytes) -> Iterator[bytes | None]:
    if data[: len(_PNG_HEAD)] == _PNG_HEAD:
        yield from _compressed_in_png(data)
    places = 0
    for at, end in _regions(data):
        while (found := data.find(_RDF, at, end)) != -1:
            places += 1
            if places > _MAX_PLACES:
                yield None
                return
            element = _element_around(data, at, found)
            if element is None:  # a name in some other text
                at = found + len(_RDF)
                continue
            packet, at = _extension(data, element[0]) or _packet(data, element, found, end)
            yield packet


def _element_around(data: Bytes, floor: int, found: int) -> tuple[int, bytes] | None:
    """Find the start of the packet in which RDF's namespace stands at ``found``, and its outermost element's name."""
    head_at = max(floor, found - _LOOK_BACK_BYTES)
    head = data[head_at:found]
    at = max(head.rfind(b"<"), 0)
    tag = _START_TAG.fullmatch(head, at)
    if tag is None:
        return None
    name = tag[1]
    around = [*_META_TAG.finditer(head, 0, at)][-1:]
    if around and head.find(b"</" + around[0][1], around[0].end()) == -1:
        at, name = around[0].start(), around[0][1]
    return head_at + at, name


def _packet(data: Bytes, element: tuple[int, bytes], found: int, end: int) -> tuple[bytes | None, int]:
    """Return a packet and where it ends; None, and where to search on, if it has no end."""
    at, name = element
    end = min(end, at + MAX_XMP_BYTES)
    tag_end = data.find(b">", found, end)
    if data[tag_end - 1 : tag_end] == b"/" and data[at + 1 : found].find(b"<") == -1:  # an empty element
        return data[at : tag_end + 1], tag_end + 1
    closing = data.find(b"</" + name, found, end)
    closed = data.find(b">", closing, end) if closing != -1 else -1
    if closed == -1:
        return None, found + len(_RDF)
    return data[at : closed + 1], closed + 1


def _extension(data: Bytes, at: int) -> tuple[bytes | None, int] | None:
    """Put a JPEG's cut up packet together again if one begins at ``at``."""
    key_at = at - _EXTENSION_HEAD_BYTES
    if key_at < 4 or data[key_at : key_at + len(_EXTENSION)] != _EXTENSION:
        return None
    key = data[key_at : key_at + _EXTENSION_KEY_BYTES]
    size = int.from_bytes(data[key_at + len(key) : key_at + len(key) + 4], "big")
    parts: dict[int, bytes] = {}
    segment_at = key_at - 4
    while data[segment_at : segment_at + 2] == b"\xff\xe1" and data[segment_at + 4 : segment_at + 4 + len(key)] == key:
        next_at = segment_at + 2 + int.from_bytes(data[segment_at + 2 : segment_at + 4], "big")
        part_at = segment_at + 4 + _EXTENSION_HEAD_BYTES
        parts[int.from_bytes(data[part_at - 4 : part_at], "big")] = data[part_at:next_at]
        segment_at = max(next_at, part_at)
    whole = b"".join(parts[offset] for offset in sorted(parts)) if size <= MAX_XMP_BYTES else b""
    return whole if len(whole) == size else None, max(segment_at, at + 1)


def _regions(data: Bytes) -> list[tuple[int, int]]:
    """Tell where a file's packets can lie."""
    head = data[:128]
    if head[:4] in _TIFF_HEADS and (tags := _first_directory(data, 0)) is not None:
        kind, count, at = tags.get(_XMP_TAG, (1, 0, 0))
        end = at + count * _INTEGER_BYTES[kind]
        if at < _RAW_HEAD_BYTES:
            return [(0, max(end, _RAW_HEAD_BYTES))]
        return [(0, _RAW_HEAD_BYTES), (at, end)]
    if _is_cr3(data):
        return [(at, end) for at, end, kind in _boxes(data) if kind != b"mdat"]
    if head.startswith(b"FUJIFILMCCD-RAW"):
        return [(0, int.from_bytes(head[84:88], "big") + _RAW_HEAD_BYTES)]  # its preview is a JPEG with all of it
    return [(0, len(data))]


def _is_cr3(data: Bytes) -> bool:
    return data[4:12] == b"ftypcrx "


def _first_directory(data: Bytes, base: int) -> dict[int, tuple[int, int, int]] | None:
    """Read the integer tags of the TIFF at ``base``: kind, count, and the value or where the values lie."""
    little = data[base : base + 1] == b"I"

    def number(raw: bytes) -> int:
        return int.from_bytes(raw, "little" if little else "big")

    at = base + number(data[base + 4 : base + 8])
    count = number(data[at : at + 2])
    table = data[at + 2 : at + 2 + 12 * count]
    if at < base + 8 or not count or len(table) < 12 * count:
        return None
    tags = {}
    for entry in (table[start : start + 12] for start in range(0, len(table), 12)):
        kind, values = number(entry[2:4]), number(entry[4:8])
        size = _INTEGER_BYTES.get(kind)
        if size is not None:
            tags[number(entry[:2])] = kind, values, number(entry[8 : 8 + size] if size * values <= 4 else entry[8:12])
    return tags


def _single(tags: dict[int, tuple[int, int, int]], tag: int) -> int:
    _, count, value = tags.get(tag, (0, 0, 0))
    return value if count == 1 else 0


def _boxes(data: Bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and kind of each top-level box of an ISO base media file."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + size if size >= 8 else len(data)
        yield at, min(end, len(data)), data[at + 4 : at + 8]
        at = end


def _compressed_in_png(data: Bytes) -> Iterator[bytes | None]:
    """Yield the packets of a PNG that lie in it compressed, or as ImageMagick's hexadecimal digits."""
    at = len(_PNG_HEAD)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in (b"iTXt", b"zTXt", b"tEXt") and size <= MAX_XMP_BYTES:
            text = data[at + 8 : at + 8 + size]
            if kind == b"iTXt" and text.startswith(_PNG_XMP) and text[len(_PNG_XMP) :][:1] == b"\1":
                packed = text[len(_PNG_XMP) + 2 :].split(b"\0", 2)  # language, keyword in it, text
                yield _inflated(packed[-1])
            elif text.startswith(_PNG_RAW_PROFILE) and kind != b"iTXt":
                body = text[len(_PNG_RAW_PROFILE) :]
                yield _from_hexadecimal(_inflated(body[1:]) if kind == b"zTXt" else body)
        at += 12 + size


def _inflated(packed: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, 2 * MAX_XMP_BYTES)
    except zlib.error:
        return None
    return text if inflater.eof else None


def _from_hexadecimal(profile: bytes | None) -> bytes | None:
    r"""Read ImageMagick's ``\nxmp\n   length\ndigits``."""
    try:
        return bytes.fromhex(b"".join((profile or b"").split()[2:]).decode("ascii")) or None
    except ValueError:
        return None
