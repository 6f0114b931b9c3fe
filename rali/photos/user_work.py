"""What a photographer has decided about a photo in other programs: in XMP, inside the photo or beside it.

A rule's name maps to a detail for people: ``{"rating": "3 stars", "label": "label Red"}``. What cannot be read counts
as work: it may hold some. What rali wrote itself (:mod:`rali.rating`) is nobody's work, as long as it stands there as
it was written.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import BinaryIO

from defusedxml.ElementTree import DefusedXMLParser, ParseError

from rali.photos.photo import SIDECAR_SUFFIXES, display_path
from rali.photos.xmp import MAX_XMP_BYTES, RALI, RDF, Bytes, exif_rating, xmp_packets

UserWork = Mapping[str, str]
WORK_RULES = ("rating", "label", "pick", "develop", "unreadable")

_DEVELOP_SIDECARS = {
    ".pp3": "RawTherapee settings",
    ".dop": "DxO PhotoLab settings",
    ".cos": "Capture One settings",
    ".on1": "ON1 settings",
    ".vrd": "Canon DPP settings",
}
_DETAIL_CHARACTERS = 100
_READ_BYTES = 1 << 20


def embedded_work(data: bytes | mmap) -> dict[str, str]:
    """Read the user's work in a photo file's bytes: all its XMP packets, and EXIF's rating."""
    return _embedded_work(data)


def sidecar_work(name: str, data: bytes) -> dict[str, str]:
    """Read the user's work in a sidecar file of this name: XMP, or that there are another program's settings."""
    suffix = os.path.splitext(name)[1].lower()
    if not data or suffix not in SIDECAR_SUFFIXES:
        return {}
    if suffix == ".xmp":
        work = _xmp_work(data) if len(data) <= MAX_XMP_BYTES else None
        return {"unreadable": _said(f"{name} cannot be read as XMP")} if work is None else work
    if suffix not in _DEVELOP_SIDECARS:
        return {}
    work = {"develop": _said(f"{_DEVELOP_SIDECARS[suffix]} in {name}")}
    return _rawtherapee_work(data) | work if suffix == ".pp3" else work


def file_work(path: str) -> dict[str, str]:
    """Read the user's work in a photo or a sidecar, and no more of the file than needed.

    Raises:
        OSError: it cannot be opened or read.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SIDECAR_SUFFIXES and suffix != ".xmp" and suffix not in _DEVELOP_SIDECARS:
        return {}
    with open(path, "rb") as file:
        if suffix in SIDECAR_SUFFIXES:
            return sidecar_work(os.path.basename(path), file.read(MAX_XMP_BYTES + 1))
        return _embedded_work(_OpenFile(file))


class _OpenFile:
    """A file's bytes, read where they are looked at; unlike a map of it, no fault if it shrinks or its drive goes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        start, end, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(end - start, 0))

    def find(self, what: bytes, start: int, end: int, /) -> int:
        end = min(end, self._size)
        while start < end:
            window = self[start : min(start + _READ_BYTES, end)]
            at = window.find(what)
            if at != -1:
                return start + at
            if len(window) < _READ_BYTES:
                break
            start += _READ_BYTES - len(what) + 1
        return -1


def _embedded_work(data: Bytes) -> dict[str, str]:
    work: dict[str, str] = {}
    for packet in xmp_packets(data):
        # Broken text in a caption does not make a rating doubtful.
        found = None if packet is None else _xmp_work(packet.decode(errors="replace"))
        work = ({"unreadable": "XMP in the photo that cannot be read"} if found is None else found) | work
    stars, percent = exif_rating(data)
    for detail in (_stars(str(stars)), _percent(str(percent))):
        if detail:
            work.setdefault("rating", detail)
    return work


# --- one XMP document -----------------------------------------------------------------------------------------------


def _xmp_work(document: bytes | str) -> dict[str, str] | None:
    """Apply the rules to an XMP document; None if it is none."""
    properties = _Properties()
    try:
        # No document type, so no entities: nothing can grow, and nothing else is opened.
        parser = DefusedXMLParser(target=properties, forbid_dtd=True)
        parser.feed(document)
        parser.close()
    except (ParseError, ValueError, LookupError):  # defusedxml's are ValueErrors; LookupError: an unknown encoding
        return None
    return properties.work() if properties.has_rdf else None


class _Properties:
    """Take an XML parser's events and note an RDF document's properties, whichever way they are written.

    Properties of properties (the files that a collage was made of, and their ratings) are not the photo's.
    """

    def __init__(self) -> None:
        self.has_rdf = False
        self._depth = 0
        self._node_depth = 0  # where the elements are whose attributes and children are properties
        self._name = ""
        self._text = ""
        self._items = 0
        self._found: list[tuple[str, str, int]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if tag == f"{{{RDF}}}RDF":
            self.has_rdf = True
            self._node_depth = self._node_depth or self._depth + 1
        elif not self.has_rdf:
            return
        elif self._depth == self._node_depth:
            self._found += ((name, value.strip(), 0) for name, value in attributes.items() if name in _KNOWN)
            self._found += ((name, value.strip(), 0) for name, value in attributes.items() if name.startswith(_CRS))
        elif self._depth == self._node_depth + 1:
            self._name, self._items = tag, 0
            self._text = attributes.get(f"{{{RDF}}}value", "").strip()
        elif self._depth > self._node_depth and tag == f"{{{RDF}}}li":
            self._items += 1

    def data(self, text: str) -> None:
        # The first text in it is the value, wherever it stands: in an rdf:value, in a list's first item.
        if self._name and not self._text:
            self._text = text.strip()

    def end(self, tag: str) -> None:
        if self._depth == self._node_depth + 1 and self._name:
            if tag in _KNOWN or tag.startswith(_CRS):
                self._found.append((tag, self._text, self._items))
            self._name = self._text = ""
        self._depth -= 1

    def work(self) -> dict[str, str]:
        """Apply the rules; the first detail of each stays."""
        work: dict[str, str] = {}
        ours = {_RECORDS[name]: text for name, text, _ in self._found if name in _RECORDS}
        for name, text, items in self._found:
            if name in ours and ours[name] == text:
                continue
            for rule, detail_of in _RULES.get(name, ()):
                detail = detail_of(text)
                if detail:
                    work.setdefault(rule, detail)
            if name in _HISTORIES and items:
                work.setdefault("develop", "develop settings (darktable)")
        if _has_camera_raw_settings(
            {name.removeprefix(_CRS): text for name, text, _ in self._found if name.startswith(_CRS)}
        ):
            work.setdefault("develop", "develop settings (Camera Raw)")
        return work


# --- the rules ------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{0,9})?", re.ASCII)
_COLOURS = ("", "Red", "Orange", "Yellow", "Green", "Blue", "Magenta", "Grey", "Black", "White")
_DARKTABLE_COLOURS = ("Red", "Yellow", "Green", "Blue", "Purple")
# Photo Mechanic's "tagged:colour class:rating:frame".
_PREFERENCES = re.compile(r"(\d+):\s*(\d+):\s*(\d+):", re.ASCII)


def _number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _stars(text: str) -> str | None:
    """Read a rating; 0 is none, and -1 a reject."""
    number = _number(text)
    return ("1 star" if number == 1 else f"{number:g} stars") if number >= 1 else None


def _percent(text: str) -> str | None:
    """Read a rating in percent: 1, 25, 50, 75 and 99 are one to five stars."""
    number = _number(text)
    return _stars(str(min(5, round(number / 25) + 1))) if number >= 1 else None


def _label(text: str) -> str | None:
    return _said(f"label {text}") if text and text.lower() != "none" else None


def _of(names: tuple[str, ...]) -> Callable[[str], str | None]:
    """Make a rule for a label that is stored as a number."""

    def label(text: str) -> str | None:
        number = _number(text)
        return _label(names[int(number)]) if 0 <= number < len(names) else None

    return label


def _class(text: str) -> str | None:
    return f"colour class {int(_number(text))}" if 1 <= _number(text) <= 8 else None


def _urgency(text: str) -> str | None:
    return f"urgency {int(_number(text))}" if 1 <= _number(text) <= 8 else None


def _flag(detail: str) -> Callable[[str], str | None]:
    return lambda text: detail if _is_true(text) else None


def _preference(number: int, rule: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def preference(text: str) -> str | None:
        match = _PREFERENCES.match(text)
        return rule(match[number]) if match else None

    return preference


_CRS = "{http://ns.adobe.com/camera-raw-settings/1.0/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_XMP_DM = "{http://ns.adobe.com/xmp/1.0/DynamicMedia/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_MICROSOFT = ("{http://ns.microsoft.com/photo/1.0/}", "{http://ns.microsoft.com/photo/1.0}")
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
_PHOTO_MECHANIC = "{http://ns.camerabits.com/photomechanic/1.0/}"
_ACDSEE = "{http://ns.acdsee.com/iptc/1.0/}"
_DARKTABLE = "{http://darktable.sf.net/}"

_RULES: Mapping[str, tuple[tuple[str, Callable[[str], str | None]], ...]] = {
    f"{_XMP}Rating": (("rating", _stars),),
    f"{_XMP}Label": (("label", _label),),
    f"{_MICROSOFT[0]}Rating": (("rating", _percent),),
    f"{_MICROSOFT[1]}Rating": (("rating", _percent),),
    f"{_PHOTOSHOP}Urgency": (("label", _urgency),),
    f"{_XMP_DM}pick": (("pick", lambda text: "picked" if _number(text) > 0 else None),),
    f"{_XMP_DM}good": (("pick", _flag("marked good")),),
    f"{_DIGIKAM}Rating": (("rating", _stars),),
    f"{_DIGIKAM}ColorLabel": (("label", _of(_COLOURS)),),
    f"{_DIGIKAM}PickLabel": (("pick", lambda text: "picked" if _number(text) == 3 else None),),
    f"{_PHOTO_MECHANIC}ColorClass": (("label", _class),),
    f"{_PHOTO_MECHANIC}Tagged": (("pick", _flag("tagged")),),
    f"{_PHOTO_MECHANIC}Prefs": (
        ("pick", _preference(1, _flag("tagged"))),
        ("label", _preference(2, _class)),
        ("rating", _preference(3, _stars)),
    ),
    f"{_ACDSEE}rating": (("rating", _stars),),
    f"{_ACDSEE}tagged": (("pick", _flag("tagged")),),
    f"{_ACDSEE}rawrppused": (("develop", _flag("develop settings (ACDSee)")),),
    f"{_DARKTABLE}colorlabels": (("label", _of(_DARKTABLE_COLOURS)),),
}
# Where rali notes what it wrote: in the same document, so that it goes where that goes.
_RECORDS = {
    f"{{{RALI}}}Rating": f"{_XMP}Rating",
    f"{{{RALI}}}Label": f"{_XMP}Label",
    f"{{{RALI}}}Pick": f"{_XMP_DM}pick",
}
_HISTORIES = frozenset({f"{_DARKTABLE}history", f"{_DARKTABLE}history_operation"})  # the second until darktable 3.0
_KNOWN = frozenset({*_RULES, *_HISTORIES, *_RECORDS})
# What Camera Raw writes of a photo that has no settings.
_CAMERA_RAW_BOOKKEEPING = frozenset({"Version", "ProcessVersion", "CompatibleVersion", "RawFileName"})
_CAMERA_RAW_STATES = frozenset({"HasSettings", "HasCrop", "AlreadyApplied"})


def _has_camera_raw_settings(settings: Mapping[str, str]) -> bool:
    if _is_true(settings.get("HasSettings", "")) or _is_true(settings.get("HasCrop", "")):
        return True
    return "HasSettings" not in settings and any(
        _is_true(text) if name in _CAMERA_RAW_STATES else name not in _CAMERA_RAW_BOOKKEEPING
        for name, text in settings.items()
    )


def _rawtherapee_work(data: bytes) -> dict[str, str]:
    """Read rating and label beside the settings: they stay protected where settings are not."""
    general = dict(re.findall(rb"^(Rank|ColorLabel)=(\d)\s*$", data[:MAX_XMP_BYTES], re.MULTILINE))
    stars = _stars(general.get(b"Rank", b"").decode())
    label = _label(("", "Red", "Yellow", "Green", "Blue", "Purple")[min(int(general.get(b"ColorLabel", b"0")), 5)])
    return {rule: detail for rule, detail in (("rating", stars), ("label", label)) if detail}


def _said(text: str) -> str:
    """Make a detail that is safe to print: one line, and not a long one."""
    shown = display_path(" ".join(text.split()))
    return shown if len(shown) <= _DETAIL_CHARACTERS else f"{shown[: _DETAIL_CHARACTERS - 1]}…"
