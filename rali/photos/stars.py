"""Stars, labels and flags in XMP: which properties they are, whose they are, and a question about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rali.errors import UsageError
from rali.photos.xmp import RALI
from rali.photos.xmp_document import Property, XmpDocument

RATING = Property("http://ns.adobe.com/xap/1.0/", "Rating", "xmp")
LABEL = Property("http://ns.adobe.com/xap/1.0/", "Label", "xmp")
PICK = Property("http://ns.adobe.com/xmp/1.0/DynamicMedia/", "pick", "xmpDM")
REJECTED = -1
MOST_STARS = 5
_RANGE = re.compile(r"(-1|\d)(?:(\+)|-(\d))?", re.ASCII)


class Decision(NamedTuple):
    """One of the things people decide about a photo, where it stands, and where rali notes what it wrote there.

    Attributes:
        rule: its name in :mod:`rali.photos.user_work`.
        unset: values that say that nobody has decided.
    """

    rule: str
    value: Property
    record: Property
    unset: frozenset[str]

    def is_users(self, document: XmpDocument) -> bool:
        """Tell if what stands in a document is the user's: anything but nothing, and what rali wrote.

        What rali wrote and somebody has changed, or taken away, is the user's.
        """
        now, written = document.value(self.value), document.value(self.record)
        return (now or "").lower() not in self.unset if written is None else now != written


DECISIONS = (
    Decision("rating", RATING, Property(RALI, "Rating", "rali"), frozenset({"", "0"})),
    Decision("label", LABEL, Property(RALI, "Label", "rali"), frozenset({"", "none"})),
    Decision("pick", PICK, Property(RALI, "Pick", "rali"), frozenset({"", "0"})),
)


class Stars(NamedTuple):
    """What a photo was given.

    Attributes:
        stars: 0 to 5, or -1 for a reject; 0 if nobody has rated it.
        label: a colour, or what else programs call it; empty if there is none.
    """

    stars: int
    label: str


def stars_of(documents: Iterable[XmpDocument], *, embedded: Stars) -> Stars:
    """Return a shot's stars and label: of the first sidecar where the user gave any, else rali's, else the photo's."""
    read = list(documents)
    rating, label = (_users_first(read, decision) for decision in DECISIONS[:2])
    stars = next(filter(None, map(_whole, rating)), embedded.stars)
    return Stars(stars, next(filter(None, label), embedded.label))


def _users_first(documents: Sequence[XmpDocument], decision: Decision) -> list[str]:
    """Return what documents say of a decision, what the user said before what rali wrote."""
    return [one.value(decision.value) or "" for one in sorted(documents, key=lambda one: not decision.is_users(one))]


def _whole(text: str | None) -> int:
    """Read a rating; 0 for what is none."""
    match = re.fullmatch(r"([+-]?\d)(?:\.\d*)?", text or "", re.ASCII)
    return max(REJECTED, min(int(match[1]), MOST_STARS)) if match else 0


@dataclass(frozen=True)
class StarsWanted:
    """A question about stars and labels.

    Attributes:
        low, high: bounds of the stars, inclusive.
        label: only with this one, whatever its case; ``none``: only without one. None: whatever it is.
    """

    low: int = REJECTED
    high: int = MOST_STARS
    label: str | None = None

    def fits(self, found: Stars) -> bool:
        """Tell if a photo is meant."""
        label = found.label or "none"
        return self.low <= found.stars <= self.high and (self.label is None or label.lower() == self.label.lower())


def parse_stars(text: str) -> tuple[int, int]:
    """Read ``4``, ``4+``, ``3-4``, ``0`` (unrated) or ``-1`` (rejected): return the lowest and the highest.

    Raises:
        UsageError: it is none of these.
    """
    match = _RANGE.fullmatch(text.strip())
    low = int(match[1]) if match else MOST_STARS + 1
    high = MOST_STARS if match and match[2] else int(match[3]) if match and match[3] else low
    if not REJECTED <= low <= high <= MOST_STARS:
        raise UsageError(f"--stars {text!r}: give 4, 4+, 3-4, 0 for unrated or -1 for rejected")
    return low, high
