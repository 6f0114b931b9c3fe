"""Scores to grades from 1 to 5, and grades to stars, labels and flags."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from rali.catalog.records import Scoring
from rali.errors import UsageError
from rali.photos.stars import DECISIONS, LABEL, MOST_STARS, PICK, RATING, REJECTED
from rali.photos.xmp import RALI
from rali.photos.xmp_document import Property

Basis = Literal["percentile", "threshold"]
GRADES = range(1, MOST_STARS + 1)
# The middle is the largest: most photos of a day are neither the best nor the worst of it.
PERCENTILES = (10.0, 30.0, 70.0, 90.0)
_SCORE = Property(RALI, "Score", "rali")
_PERCENTILE = Property(RALI, "Percentile", "rali")
_MODEL = Property(RALI, "Model", "rali")
_RECIPE = Property(RALI, "Recipe", "rali")
_RANGE = re.compile(r"([1-5])(?:-([1-5]))?", re.ASCII)


@dataclass(frozen=True)
class Grading:
    """Which scores, or which percentiles, get which grade.

    Attributes:
        by: ``percentile`` among the photos asked about, or ``threshold``, the score itself.
        edges: where grades 2, 3, 4 and 5 begin, ascending.
    """

    by: Basis
    edges: tuple[float, float, float, float]

    def grade(self, score: float, percentile: float) -> int:
        """Return the grade of a photo, 1 to 5."""
        return bisect_right(self.edges, percentile if self.by == "percentile" else score) + 1

    def bounds(self, grade: int) -> tuple[float | None, float | None]:
        """Return where a grade begins, inclusive, and ends, exclusive; None for no bound."""
        return (
            None if grade == GRADES[0] else self.edges[grade - 2],
            None if grade == GRADES[-1] else self.edges[grade - 1],
        )

    def __str__(self) -> str:
        """Say it in words: ``percentile 10, 30, 70, 90``."""
        return f"{self.by} {', '.join(f'{edge:g}' for edge in self.edges)}"


def grading_of(by: str, edges: str | None, scoring: Scoring) -> Grading:
    """Make a grading of what people write: ``--stars`` and ``--edges``.

    Without edges, percentiles are cut at 10, 30, 70 and 90, and a model's scale into five equal parts.

    Raises:
        UsageError: there is no such basis, or the edges are not four ascending numbers.
    """
    if by not in get_args(Basis):
        raise UsageError(f"--stars {by!r}: give percentile or threshold")
    basis: Basis = "percentile" if by == "percentile" else "threshold"
    if edges is not None:
        return Grading(basis, _parse_edges(edges, basis))
    if basis == "percentile":
        return Grading(basis, PERCENTILES)
    low, span = scoring.score_low, scoring.score_high - scoring.score_low
    return Grading(basis, (low + span * 0.2, low + span * 0.4, low + span * 0.6, low + span * 0.8))


def _parse_edges(text: str, basis: Basis) -> tuple[float, float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(PERCENTILES) or not all(map(math.isfinite, numbers)) or numbers != sorted(numbers):
        raise UsageError(f"--edges {text!r}: give four ascending numbers, where 2, 3, 4 and 5 stars begin: 10,30,70,90")
    if basis == "percentile" and not 0 <= numbers[0] <= numbers[-1] <= 100:
        raise UsageError(f"--edges {text!r}: percentiles go from 0 to 100")
    return numbers[0], numbers[1], numbers[2], numbers[3]


@dataclass(frozen=True)
class Wishes:
    """What is to be written.

    Attributes:
        grading: how scores become grades.
        stars: the grade itself, as stars.
        labels: of grades; None: labels are left alone. A grade that is not in it gets none.
        picks, rejects: grades that get a flag; None: flags are left alone.

    Raises:
        UsageError: a grade is to be both, or nothing is to be written.
    """

    grading: Grading
    stars: bool = True
    labels: Mapping[int, str] | None = None
    picks: frozenset[int] | None = None
    rejects: frozenset[int] | None = None
    rules: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        both = (self.picks or frozenset()) & (self.rejects or frozenset())
        if both:
            raise UsageError(f"--pick and --reject: grade {min(both)} cannot be both")
        flags = self.picks is not None or self.rejects is not None
        asked = {"rating": self.stars, "label": self.labels is not None, "pick": flags}
        if not any(asked.values()):
            raise UsageError("--no-stars: say what else to write: --label 5=Green, --pick 5 or --reject 1")
        object.__setattr__(self, "rules", frozenset(rule for rule, given in asked.items() if given))

    def stars_for(self, grade: int) -> int | None:
        """Return the stars of a grade, -1 for a reject; None if stars are not asked for."""
        if not self.stars:
            return None
        return REJECTED if grade in (self.rejects or ()) else grade

    def label_for(self, grade: int) -> str | None:
        """Return the label of a grade; None if it gets none."""
        return (self.labels or {}).get(grade)

    def flag_for(self, grade: int) -> int | None:
        """Return 1 for a pick, -1 for a reject; None for neither."""
        return 1 if grade in (self.picks or ()) else -1 if grade in (self.rejects or ()) else None

    def properties(
        self, grade: int, score: float, percentile: float, scoring: Scoring, kept: Iterable[str]
    ) -> dict[Property, str | None]:
        """Return what a sidecar is to say; None for what it is to say no more.

        Args:
            kept: rules of what the user decided; these stay as they are.
        """
        number = {RATING: self.stars_for(grade), PICK: self.flag_for(grade)}
        wanted: dict[Property, str | None] = {}
        for decision in DECISIONS:
            if decision.rule in self.rules and decision.rule not in kept:
                value = self.label_for(grade) if decision.value == LABEL else _text(number[decision.value])
                wanted |= {decision.value: value, decision.record: value}
        return wanted | {
            _SCORE: f"{score:.3f}",
            _PERCENTILE: f"{percentile:.1f}",
            _MODEL: f"{scoring.model_name} {scoring.model_id}",
            _RECIPE: scoring.recipe,
        }

    def __str__(self) -> str:
        """Say it in words, for the list of runs."""
        names = {"rating": "stars", "label": "labels", "pick": "flags"}
        return f"{', '.join(name for rule, name in names.items() if rule in self.rules)} by {self.grading}"


def parse_grades(option: str, text: str) -> frozenset[int]:
    """Read ``5`` or ``4-5``.

    Raises:
        UsageError: it is neither.
    """
    match = _RANGE.fullmatch(text.strip())
    grades = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not grades:
        raise UsageError(f"{option} {text!r}: give a grade from 1 to 5, or a range such as 4-5")
    return frozenset(grades)


def parse_labels(texts: Iterable[str]) -> dict[int, str]:
    """Read ``5=Green``, ``1-2=Red``.

    Raises:
        UsageError: one is neither, or a grade gets two labels.
    """
    labels: dict[int, str] = {}
    for text in texts:
        grades, equals, label = text.partition("=")
        label = label.strip()
        if not equals or not label or not label.isprintable():
            raise UsageError(f"--label {text!r}: give grades and a label, such as 5=Green or 1-2=Red")
        for grade in parse_grades("--label", grades):
            if labels.setdefault(grade, label) != label:
                raise UsageError(f"--label {text!r}: grade {grade} has the label {labels[grade]} already")
    return labels


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
