"""What a file is, from its bytes, and whether all of it is there. Names lie; so do half-copied cards."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from mmap import mmap

Data = bytes | mmap


class Format(StrEnum):
    """The container formats that rali reads."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"
    BMP = "bmp"
    TIFF = "tiff"
    HEIF = "heif"
    AVIF = "avif"
    RAW = "raw"


_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_MAGIC = (
    b"FUJIFILMCCD-RAW",  # RAF
    b"IIRO",  # ORF
    b"IIRS",
    b"MMOR",
    b"IIU\0",  # RW2, RAW, RWL
    b"FOVb",  # X3F
    b"\0MRM",  # MRW
    b"II\x1a\0\0\0HEAPCCDR",  # CRW
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"miaf"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def sniff(data: Data) -> Format | None:
    """Tell the format of ``data``, a whole file; None if it is none of ours.

    Looks at the first bytes alone, except in a TIFF, whose directories may lie anywhere.
    """
    head = bytes(data[:64])
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head.startswith(_RAW_MAGIC):
        return Format.RAW
    if head.startswith(_TIFF_MAGIC):
        return Format.RAW if _is_raw_tiff(data) else Format.TIFF
    if head[4:8] == b"ftyp":
        return _sniff_boxes(head)
    if head.startswith(b"BM") and len(head) >= 18 and head[14] in (12, 16, 40, 52, 56, 64, 108, 124):
        return Format.BMP
    return None


def may_be_raw(head: bytes) -> bool:
    """Tell if a file that begins with ``head`` (64 bytes) can be a RAW, and so should not be read whole."""
    return head.startswith((*_RAW_MAGIC, *_TIFF_MAGIC)) or head[4:12] == b"ftypcrx "


def is_whole(data: Data, format: Format) -> bool:
    """Tell if the end of the file is there, as far as the container says.

    Decoders fill what is missing with grey, or stop without a word once the last row has been drawn; a photo of
    which a part is gone must become a failure instead.
    """
    if format is Format.JPEG:
        return _jpeg_has_end(data)
    if format is Format.PNG:
        return data.rfind(b"IEND\xaeB`\x82") != -1
    if format is Format.GIF:
        return _gif_has_end(data)
    if format is Format.WEBP:
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if format is Format.BMP:
        return _bmp_end(data) <= len(data)
    if format in (Format.HEIF, Format.AVIF):
        return _boxes_end(data) <= len(data)
    if format is Format.TIFF:
        return _tiff_end(data) <= len(data)
    if data[4:8] == b"ftyp":  # CR3
        return _boxes_end(data) <= len(data)
    return not data[:4].startswith(_TIFF_MAGIC) or _tiff_end(data) <= len(data)


def _sniff_boxes(head: bytes) -> Format | None:
    """Read the brands of an ISO base media file."""
    size = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if b"crx " in brands[:1]:
        return Format.RAW
    if _AVIF_BRANDS & set(brands):
        return Format.AVIF
    if _HEIF_BRANDS & set(brands):
        return Format.HEIF
    return None


def _jpeg_has_end(data: Data) -> bool:
    """Tell if an end marker follows the first scan; one inside the EXIF thumbnail does not count."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
        if marker == 0xDA:  # start of scan: entropy-coded data follows, where FF D9 can only be the end
            return data.rfind(b"\xff\xd9", at) != -1  # from the end, where it is: 4 ms less for 5 MB
    # Not a chain of segments: let the decoder judge it.
    return data.rfind(b"\xff\xd9") != -1


def _gif_has_end(data: Data) -> bool:
    """Tell if the trailer follows the last block; the same byte inside a block does not count."""
    if len(data) < 13:
        return False
    at = 13 + _palette_bytes(data[10])
    while at < len(data) and data[at] in b"\x21\x2c":
        if data[at] == 0x21:  # extension
            at += 2
        elif at + 9 < len(data):  # image: position, size, palette, code size
            at += 11 + _palette_bytes(data[at + 9])
        else:
            return False
        while at < len(data) and data[at]:  # data in parts, each after its length
            at += 1 + data[at]
        at += 1
    return at < len(data) and data[at] == 0x3B


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _bmp_end(data: Data) -> int:
    """Where an uncompressed bitmap's pixels end; 0 where the header does not tell."""
    if len(data) < 34 or struct.unpack_from("<I", data, 14)[0] < 40:
        return 0
    pixels_at, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if compression not in (0, 3) or width <= 0:
        return 0
    row_bytes = (width * bits + 31) // 32 * 4
    return int(pixels_at + row_bytes * abs(height))


def _boxes_end(data: Data) -> int:
    """Where the last top-level box of an ISO base media file ends; boxes must follow each other to the end."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size == 0:  # to the end of the file, by definition
            return len(data)
        if size < 8 or not kind.isascii():
            # Cameras and phones append things that are no boxes (Samsung's trailer); the picture came before.
            return at
        at += size
    return at


# --- TIFF: the container of TIFF itself and of most RAW formats -------------------------------------------------

_COUNTED = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _STRIP_BYTES = 259, 262, 273, 279
_TILE_OFFSETS, _TILE_BYTES, _SUB_IFDS, _DNG_VERSION = 324, 325, 330, 50706
# Other tags' values are not unpacked: a hostile file can let thousands of tags share a million values.
_WANTED = frozenset({
    _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES, _SUB_IFDS, _DNG_VERSION
})  # fmt: skip
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_RAW_COMPRESSIONS = frozenset({34713, 32767, 32769, 32770, 65535, 65000, 34892})  # Nikon, Sony, Samsung, Pentax, ...
_MAX_IFDS = 32
_MAX_VALUES = 1 << 20

Tags = dict[int, tuple[int, ...]]


def _is_raw_tiff(data: Data) -> bool:
    """Tell if a TIFF holds sensor data: Canon's mark, a DNG version, a colour filter array, a maker's compression."""
    if bytes(data[8:10]) == b"CR":
        return True
    for tags in _tiff_ifds(data):
        if _DNG_VERSION in tags or _RAW_COMPRESSIONS & set(tags.get(_COMPRESSION, ())):
            return True
        if {_COLOUR_FILTER_ARRAY, _LINEAR_RAW} & set(tags.get(_PHOTOMETRIC, ())):
            return True
    return False


def _tiff_end(data: Data) -> int:
    """Where the last strip, tile or value of a TIFF ends; beyond the file if a directory itself is cut off."""
    end = 0
    for tags in _tiff_ifds(data):
        end = max(end, tags[-1][0])
        for offsets_tag, bytes_tag in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
            offsets, sizes = tags.get(offsets_tag, ()), tags.get(bytes_tag, ())
            end = max([end, *(at + size for at, size in zip(offsets, sizes, strict=False))])
    return end


def _tiff_ifds(data: Data) -> Iterator[Tags]:
    """Yield the tags of each directory: IFD0, those behind it, those below them.

    Key -1 holds the end of everything that the directory refers to.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in bytes(data[2:4])
    head, count_format, entry_format, offset_format = (8, "Q", "HHQ", "Q") if big else (4, "H", "HHI", "I")
    word = struct.calcsize(offset_format)
    try:
        pending = [struct.unpack_from(order + offset_format, data, head)[0]]
    except struct.error:
        return
    seen: set[int] = set()
    while pending and len(seen) < _MAX_IFDS:
        at = pending.pop(0)
        if at == 0 or at in seen:
            continue
        seen.add(at)
        tags: Tags = {}
        end = at
        try:
            (count,) = struct.unpack_from(order + count_format, data, at)
            at += struct.calcsize(order + count_format)
            entry_size = struct.calcsize(order + entry_format) + word
            following_at = at + count * entry_size
            end = following_at + word
            for _ in range(min(count, 4096)):
                tag, kind, number = struct.unpack_from(order + entry_format, data, at)
                value_at = at + struct.calcsize(order + entry_format)
                value_bytes = _COUNTED.get(kind, 0) * number
                if value_bytes > word:
                    (value_at,) = struct.unpack_from(order + offset_format, data, value_at)
                    end = max(end, value_at + value_bytes)
                if (
                    tag in _WANTED
                    and kind in _INTEGERS
                    and number <= _MAX_VALUES
                    and value_at + value_bytes <= len(data)
                ):
                    tags[tag] = struct.unpack_from(f"{order}{number}{_INTEGERS[kind]}", data, value_at)
                at += entry_size
            pending += struct.unpack_from(order + offset_format, data, following_at)
        except (struct.error, OverflowError):
            end = len(data) + 1
        pending += tags.get(_SUB_IFDS, ())
        tags[-1] = (end,)
        yield tags
