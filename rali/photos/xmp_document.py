"""XMP documents byte by byte: where a simple property stands, and how another value comes to stand there.

Everything else in a document stays as it is, to the byte: comments, processing instructions, unknown namespaces, line
ends, develop settings of megabytes. What is not well-formed, or says a property in a form that is more than a value,
is refused.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from rali.photos.xmp import MAX_XMP_BYTES, RDF
from rali.photos.xmp_meaning import UnmergeableError, meaning_without, parse

_START_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_DECLARED = re.compile(rb"<\?xml\s[^>]*?\bencoding\s*=\s*[\"']([^\"']*)[\"']")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NARROW = ("utf-8", "ascii", "iso8859-1")


class Property(NamedTuple):
    """A property with one plain value; ``prefix`` is the usual one for its namespace."""

    namespace: str
    name: str
    prefix: str

    @property
    def tag(self) -> str:
        """The name as XML parsers write it: ``{namespace}name``."""
        return f"{{{self.namespace}}}{self.name}"


class _Attribute(NamedTuple):
    """Where an attribute stands: from the white space before it to its last quote; its value without quotes."""

    start: int
    end: int
    value_start: int
    value_end: int


@dataclass
class _Element:
    """A resource (``rdf:Description``) or one of its properties: byte offsets of its tags, and what they say."""

    tag: str
    start: int
    tag_end: int
    prefixes: Mapping[str, str]
    values: Mapping[str, str]
    attributes: dict[str, _Attribute]
    is_empty: bool
    is_plain: bool
    text: str = ""
    close_start: int = 0
    end: int = 0


@dataclass
class XmpDocument:
    """An XMP document that was read.

    Attributes:
        data: in UTF-8, without a byte order mark.
        bom, codec: what the file begins with, and what it is written in.
    """

    data: bytes
    bom: bytes = b""
    codec: str = "utf-8"
    _nodes: list[_Element] = field(default_factory=list, repr=False)
    _properties: list[_Element] = field(default_factory=list, repr=False)

    @classmethod
    def read(cls, content: bytes) -> XmpDocument:
        """Read a document.

        Raises:
            UnmergeableError: it is no well-formed XML, holds no RDF or several, has a document type, is in an encoding
                other than UTF-8, UTF-16 or Latin-1, or is larger than 16 MB.
        """
        if len(content) > MAX_XMP_BYTES:
            raise UnmergeableError("is too large for XMP")
        return cls._located(*_decoded(content))

    @classmethod
    def _located(cls, data: bytes, bom: bytes = b"", codec: str = "utf-8") -> XmpDocument:
        document = cls(data, bom, codec)
        places = _Places(document)
        parse(document.data, places, on_parser=places.ask)
        if places.count != 1:
            raise UnmergeableError("holds no XMP" if not places.count else "holds more than one XMP document")
        return document

    def value(self, wanted: Property) -> str | None:
        """Return a property's value, or as much text as it begins with; None if it is not there."""
        return next(iter(self._values(wanted)), None)

    def _values(self, wanted: Property) -> list[str]:
        found = [node.values[wanted.tag] for node in self._nodes if wanted.tag in node.values]
        found += [element.text for element in self._properties if element.tag == wanted.tag]
        return [value.strip() for value in found]

    def merged(self, changes: Mapping[Property, str | None]) -> bytes:
        """Return the file with other values, in its own encoding; None takes a property away.

        Raises:
            UnmergeableError: a property is more than a plain value, or there is nothing to add properties to.
        """
        changed, at = bytearray(), 0
        for start, end, new in self.edits(changes):
            changed += self.data[at:start] + new
            at = end
        changed += self.data[at:]
        self._check(bytes(changed), changes)
        return self.bom + changed.decode().encode(self.codec, "xmlcharrefreplace")

    def edits(self, changes: Mapping[Property, str | None]) -> list[tuple[int, int, bytes]]:
        """Return start, end and new bytes of what :meth:`merged` changes, in order; none if all is said already.

        Raises:
            UnmergeableError: see there.
        """
        edits: list[tuple[int, int, bytes]] = []
        missing: list[tuple[Property, str]] = []
        for prop, value in changes.items():
            if set(self._values(prop)) == ({value} - {None}):
                continue
            found = [*self._edits(prop, value)]
            edits += found
            if not found and value is not None:
                missing.append((prop, value))
        if missing:
            edits.append(self._addition(missing))
        return sorted(edits)

    def _edits(self, prop: Property, value: str | None) -> Iterator[tuple[int, int, bytes]]:
        """Yield start, end and new bytes for each place where a property stands."""
        for node in self._nodes:
            if (place := node.attributes.get(prop.tag)) is not None:
                if value is None:
                    yield place.start, place.end, b""
                else:
                    yield place.value_start, place.value_end, _escaped(value)
        for element in (one for one in self._properties if one.tag == prop.tag):
            content = self.data[element.tag_end : element.close_start]
            if not element.is_plain or b"<" in content:
                raise UnmergeableError(f"says {prop.prefix}:{prop.name} in a form that rali does not change")
            if value is None:
                before = self.data[: element.start]
                yield len(before.rstrip()), element.end, b""
            elif element.is_empty:
                name = self.data[element.start + 1 : element.tag_end].rstrip(b"/>").split()[0]
                yield element.tag_end - 2, element.tag_end, b">" + _escaped(value) + b"</" + name + b">"
            else:
                yield element.tag_end, element.close_start, _escaped(value)

    def _addition(self, missing: list[tuple[Property, str]]) -> tuple[int, int, bytes]:
        """Return the edit that adds attributes to the first resource, spaced as the last one there is."""
        node = next((one for one in self._nodes if one.tag == f"{{{RDF}}}Description"), None)
        if node is None:
            raise UnmergeableError("holds no rdf:Description to add to")
        at = node.tag_end - (2 if node.is_empty else 1)
        at -= len(self.data[node.start : at]) - len(self.data[node.start : at].rstrip())
        spaces = re.findall(rb"\s+(?=[^\s=/>]+\s*=)", self.data[node.start : at])
        space = spaces[-1] if spaces else b" "
        prefixes = dict(node.prefixes)
        declared = values = b""
        for prop, value in missing:
            prefix = next((p for p, uri in prefixes.items() if p and uri == prop.namespace), None)
            if prefix is None:
                prefix = next(p for n in count() if (p := f"{prop.prefix}{n or ''}") not in prefixes)
                prefixes[prefix] = prop.namespace
                declared += space + f'xmlns:{prefix}="{prop.namespace}"'.encode()
            values += space + f"{prefix}:{prop.name}=".encode() + b'"' + _escaped(value) + b'"'
        return at, at, declared + values

    def _check(self, changed: bytes, changes: Mapping[Property, str | None]) -> None:
        """Read what is to be written: the values have to be there, and everything else as it was."""
        tags = {prop.tag for prop in changes}
        after = XmpDocument._located(changed)
        if meaning_without(changed, tags) != meaning_without(self.data, tags) or any(
            set(after._values(prop)) != ({value} - {None}) for prop, value in changes.items()
        ):
            raise UnmergeableError("is written in a way that rali cannot change safely")


def _decoded(content: bytes) -> tuple[bytes, bytes, str]:
    """Return a document in UTF-8, its byte order mark, and the name of its encoding."""
    bom, codec = next(((bom, codec) for bom, codec in _BOMS if content.startswith(bom)), (b"", ""))
    if not bom and content[:2] in (b"<\0", b"\0<"):
        codec = "utf-16-le" if content[:1] == b"<" else "utf-16-be"
    if not codec.startswith("utf-16"):
        declared = _DECLARED.match(content, len(bom))
        try:
            named = codecs.lookup(declared[1].decode()).name if declared else "utf-8"
        except LookupError:
            named = ""
        if named not in _NARROW or (codec and named != codec):
            raise UnmergeableError("is in an encoding that rali does not write")
        codec = named
    try:
        return content[len(bom) :].decode(codec).encode(), bom, codec
    except UnicodeError:
        raise UnmergeableError("is not in the encoding that it says") from None


class _Places:
    """Take a parser's events and note where an RDF document's resources and properties stand."""

    def __init__(self, document: XmpDocument) -> None:
        self._parser: Any = None
        self.count = 0
        self._document = document
        self._depth = 0
        self._node_depth = 0
        self._prefixes: list[Mapping[str, str]] = [{}]
        self._property: _Element | None = None

    def ask(self, parser: Any) -> None:
        self._parser = parser

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._property is not None:  # nothing is changed in there, however much it is
            self._property.is_plain = False
            return
        element = self._element(tag, attributes)
        self._prefixes.append(element.prefixes)
        if tag == f"{{{RDF}}}RDF":
            self.count += 1
            self._node_depth = self._node_depth or self._depth + 1
        elif self._node_depth and self._depth == self._node_depth:
            self._document._nodes.append(element)
        elif self._node_depth and self._depth == self._node_depth + 1:
            self._property = element

    def data(self, text: str) -> None:
        # As in a list, the first text in it: what one cannot write, one can still read.
        if self._property is not None and not self._property.text.strip():
            self._property.text = text

    def end(self, _: str) -> None:
        if self._property is not None and self._depth == self._node_depth + 1:
            element, self._property = self._property, None
            element.close_start = element.tag_end if element.is_empty else self._parser.CurrentByteIndex
            element.end = (
                element.tag_end if element.is_empty else self._document.data.index(b">", element.close_start) + 1
            )
            self._document._properties.append(element)
        if self._depth == self._node_depth - 1:
            self._node_depth = 0
        if self._property is None:
            self._prefixes.pop()
        self._depth -= 1

    def _element(self, tag: str, values: Mapping[str, str]) -> _Element:
        data, start = self._document.data, self._parser.CurrentByteIndex
        match = _START_TAG.match(data, start)
        if match is None:
            raise UnmergeableError("is written in a way that rali cannot change safely")
        found = [*_ATTRIBUTE.finditer(data, start, match.end())]
        declared = {
            attribute[1].decode().partition(":")[2]: html.unescape((attribute[2] or attribute[3] or b"").decode())
            for attribute in found
            if attribute[1] == b"xmlns" or attribute[1].startswith(b"xmlns:")
        }
        prefixes = {**self._prefixes[-1], **declared} if declared else self._prefixes[-1]
        attributes: dict[str, _Attribute] = {}
        for attribute in found:
            prefix, colon, name = attribute[1].decode().partition(":")
            if colon and prefix in prefixes:
                quoted = 2 if attribute[2] is not None else 3
                place = _Attribute(attribute.start(), attribute.end(), attribute.start(quoted), attribute.end(quoted))
                attributes[f"{{{prefixes[prefix]}}}{name}"] = place
        is_empty = match[0].endswith(b"/>")
        return _Element(tag, start, match.end(), prefixes, dict(values), attributes, is_empty, is_plain=not values)


def _escaped(value: str) -> bytes:
    return html.escape(value, quote=True).encode()
