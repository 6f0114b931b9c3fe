"""Draw how far a model's scores can be taken at their word: people's scores against the model's, as an SVG.

    python scripts/plot_reliability.py --iqa ../shared/iqa --model HELD_OUT.safetensors -o samples/reliability.svg

The dots are the photos of val.json; the line joins the tenths of the model's scores, each with the standard error of
people's mean. A model that can be taken at its word lies on the diagonal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from probe_tools import Model, Points, rated_photos
from rali.model.registry import find_model
from rali.model.scorer import Scorer

SIDE, MARGIN = 360, 44
TENTHS = 10
STYLE = (
    "text{font:12px sans-serif;fill:#777}line,polyline,rect{fill:none;stroke:#999}"
    ".photo{fill:#4a90d9;fill-opacity:.35}.tenth{stroke:#d9534f;stroke-width:2}.mean{fill:#d9534f}"
)


def reliability(human: Points, predicted: Points) -> str:
    """Draw people's scores [N] over the model's [N], both 0 to 100."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" role="img">'
        f"<title>People's scores against the model's, {len(human)} photos</title><style>{STYLE}</style>\n"
        + "\n".join((*_axes(), *_photos(human, predicted), *_tenths(human, predicted)))
        + "\n</svg>\n"
    )


def _at(score: float, *, up: bool) -> float:
    along = MARGIN + score / 100 * (SIDE - 1.5 * MARGIN)
    return round(SIDE - along if up else along, 1)


def _axes() -> Iterator[str]:
    low, high = (_at(score, up=False) for score in (0, 100))
    yield f'<rect x="{low}" y="{_at(100, up=True)}" width="{high - low:.1f}" height="{high - low:.1f}"/>'
    yield f'<line x1="{low}" y1="{_at(0, up=True)}" x2="{high}" y2="{_at(100, up=True)}" stroke-dasharray="4"/>'
    for score in range(0, 101, 20):
        yield f'<text x="{_at(score, up=False)}" y="{_at(0, up=True) + 16}" text-anchor="middle">{score}</text>'
        yield f'<text x="{low - 6}" y="{_at(score, up=True) + 4}" text-anchor="end">{score}</text>'
    yield f'<text x="{SIDE / 2}" y="{SIDE - 8}" text-anchor="middle">model</text>'
    yield f'<text transform="translate(12 {SIDE / 2}) rotate(-90)" text-anchor="middle">people</text>'


def _photos(human: Points, predicted: Points) -> Iterator[str]:
    for people, model in zip(human, predicted, strict=True):
        yield f'<circle class="photo" r="3" cx="{_at(model, up=False)}" cy="{_at(people, up=True)}"/>'


def _tenths(human: Points, predicted: Points) -> Iterator[str]:
    points = []
    for tenth in np.array_split(np.argsort(predicted, kind="stable"), TENTHS):
        x, mean = _at(float(predicted[tenth].mean()), up=False), float(human[tenth].mean())
        error = float(human[tenth].std(ddof=1)) / len(tenth) ** 0.5
        low, high = _at(mean - error, up=True), _at(mean + error, up=True)
        points.append((x, _at(mean, up=True)))
        yield f'<line class="tenth" x1="{x}" y1="{low}" x2="{x}" y2="{high}"/>'
    yield f'<polyline class="tenth" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'
    for x, y in points:
        yield f'<circle class="mean" r="4" cx="{x}" cy="{y}"/>'


def main() -> None:
    """Score val.json's photos and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="path of a bundle that has not seen val.json")
    parser.add_argument("--iqa", type=Path, required=True, help="folder with val.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the SVG to write")
    options = parser.parse_args()
    rated = rated_photos(Model(Scorer(find_model(options.model), device="cpu"), None), options.iqa)
    options.output.write_text(reliability(rated.human, rated.predicted), encoding="utf-8")


if __name__ == "__main__":
    main()
