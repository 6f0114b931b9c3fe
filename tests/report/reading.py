"""A report as a browser would take it apart, without running anything."""

from __future__ import annotations

from html.parser import HTMLParser

# HTML's elements that have no end.
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class ReadPage(HTMLParser):
    """Collects elements and texts of a page.

    Attributes:
        elements: names with their attributes, in order.
        names: texts of ``bdi`` elements.
        unclosed: elements that were opened and not closed in order.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.names: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.unclosed.append(tag)
        if tag == "bdi":
            self.names.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of SVG that ends at once."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close an element, if it is the one that is open."""
        if self.unclosed and self.unclosed[-1] == tag:
            self.unclosed.pop()

    def handle_data(self, data: str) -> None:
        """Note a text where it stands."""
        if "bdi" in self.unclosed:
            self.names[-1] += data
        for tag, texts in (("script", self.scripts), ("style", self.styles)):
            if self.unclosed[-1:] == [tag]:
                texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of one name."""
        return [attributes for name, attributes in self.elements if name == tag]
