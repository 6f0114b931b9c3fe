"""What an XMP document says, so that two can be compared; and the parser that all of ours use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from defusedxml.ElementTree import DefusedXMLParser, ParseError

from rali.photos.xmp import RDF


class UnmergeableError(Exception):
    """A document cannot be changed safely; ``str()`` says why, as the end of a sentence about the file."""


def parse(data: bytes, target: object, *, on_parser: Callable[[Any], None] = lambda _: None) -> None:
    """Hand a document in UTF-8 to ``target``, event by event, as ElementTree's parsers do.

    Args:
        on_parser: given expat's parser first, which tells where in ``data`` an event stands.

    Raises:
        UnmergeableError: it is not well-formed, or has a document type, with which it could grow or open other files.
    """
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    on_parser(parser.parser)
    try:
        parser.feed(data)
        parser.close()
    except (ParseError, ValueError):  # defusedxml's are ValueErrors
        raise UnmergeableError("is no XML that can be read") from None


def meaning_without(data: bytes, tags: set[str]) -> list[tuple[Any, ...]]:
    """Return all that a document in UTF-8 says, but for the properties ``tags``: the parser's events, in order.

    Namespace prefixes, quotes, entities and white space between elements say nothing.
    """
    meaning = _Meaning(tags)
    parse(data, meaning)
    return meaning.events


class _Meaning:
    """Take a parser's events and keep them, but for some properties."""

    def __init__(self, left_out: set[str]) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._left_out = left_out
        self._depth = 0
        self._node_depth = 0
        self._skipping = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if tag == f"{{{RDF}}}RDF":
            self._node_depth = self._node_depth or self._depth + 1
        if self._node_depth and self._depth == self._node_depth + 1 and tag in self._left_out:
            self._skipping = self._depth
        at_node = self._node_depth and self._depth == self._node_depth
        said = {name: value for name, value in attributes.items() if not (at_node and name in self._left_out)}
        self._note(("start", tag, tuple(sorted(said.items()))))

    def end(self, tag: str) -> None:
        self._note(("end", tag))
        if self._depth == self._skipping:
            self._skipping = 0
        if self._depth == self._node_depth - 1:
            self._node_depth = 0
        self._depth -= 1

    def data(self, text: str) -> None:
        if text.strip():
            self._note(("text", text))

    def comment(self, text: str) -> None:
        self._note(("comment", text))

    def pi(self, target: str, text: str | None = None) -> None:
        self._note(("pi", target, text))

    def _note(self, event: tuple[Any, ...]) -> None:
        if not self._skipping:
            self.events.append(event)
