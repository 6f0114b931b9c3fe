"""Sentences about a picture's quality, to align pictures with; and the short descriptions that rali can say later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

import numpy as np

from rali.model.words import FINE
from rali.training.distortions import KINDS, Family, family_of

Rng = np.random.Generator


class Strength(IntEnum):
    """How much of a fault there is; the same scale as ``Kind.visible``."""

    NONE = 0
    SLIGHT = 1
    MODERATE = 2
    STRONG = 3


@dataclass(frozen=True)
class Description:
    """One of the things that rali can say of a photo; ``family`` is a ``Family``, or FINE for nothing wrong."""

    text: str
    family: str
    strength: Strength


NOTHING_WRONG = Description("nothing wrong", FINE, Strength.NONE)
DESCRIPTIONS: tuple[Description, ...] = (
    NOTHING_WRONG,
    *(
        Description(f"{family}, {strength.name.lower()}", family, strength)
        for family in Family
        for strength in (Strength.SLIGHT, Strength.MODERATE, Strength.STRONG)
    ),
)

BEFORE_NOUNS: Mapping[Strength, tuple[str, ...]] = {
    Strength.SLIGHT: ("slight", "faint", "a little"),
    Strength.MODERATE: ("moderate", "noticeable", "clear"),
    Strength.STRONG: ("strong", "severe", "heavy"),
}
BEFORE_ADJECTIVES: Mapping[Strength, tuple[str, ...]] = {
    Strength.SLIGHT: ("slightly", "a little", "somewhat"),
    Strength.MODERATE: ("clearly", "noticeably", "rather"),
    Strength.STRONG: ("badly", "severely", "extremely"),
}

# Of each family: nouns, adjectives.
FAMILY_WORDS: Mapping[Family, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Family.BLUR: (("blur", "focus blur", "softness"), ("blurred", "out of focus", "unsharp")),
    Family.MOTION_BLUR: (("motion blur", "camera shake"), ("blurred by motion", "smeared by camera shake")),
    Family.NOISE: (("noise", "grain"), ("noisy", "grainy")),
    Family.COMPRESSION: (
        ("compression damage", "JPEG compression", "compression artefacts"),
        ("compressed", "damaged by compression"),
    ),
    Family.UNDEREXPOSED: (("underexposure", "darkening"), ("underexposed", "too dark")),
    Family.OVEREXPOSED: (("overexposure", "washing out by light"), ("overexposed", "too bright")),
    Family.COLOUR: (("false colour", "colour distortion"), ("wrong in colour", "unnatural in colour")),
    Family.LOW_CONTRAST: (("lack of contrast", "flatness of contrast"), ("low in contrast", "flat and hazy")),
    Family.OVERSHARPENED: (("oversharpening", "sharpening halos"), ("oversharpened", "harsh from sharpening")),
    Family.PIXELATED: (("pixelation", "coarse pixels"), ("pixelated", "jagged with coarse pixels")),
}

# What is peculiar to a kind, beside its family's words: nouns. Kinds without a family have these alone.
KIND_NOUNS: Mapping[str, tuple[str, ...]] = {
    "lens blur": ("defocus blur",),
    "color diffusion": ("colour bleeding",),
    "color shift": ("colour fringes", "misaligned colour"),
    "color quantization": ("posterised colour", "loss of colour tones"),
    "saturation (HSV)": ("fading of colour", "desaturation"),
    "saturation (Lab)": ("oversaturated colour", "garish colour"),
    "JPEG 2000": ("wavelet compression artefacts",),
    "JPEG": ("blocky JPEG compression",),
    "white noise (YCbCr)": ("colour noise",),
    "impulse noise": ("salt and pepper noise",),
    "multiplicative noise": ("speckle noise",),
    "denoise": ("smearing by noise reduction", "blur from noise reduction"),
    "jitter": ("scattering of pixels", "jitter of pixels"),
    "non-eccentricity patch": ("displacement of small patches", "misplaced patches"),
    "quantization": ("banding", "posterisation"),
    "color block": ("covering by coloured blocks", "corruption by blocks of colour"),
    "contrast change": ("harshness of contrast", "excess of contrast"),
}

WITH_NOUNS = (
    "a photo with {}",
    "a picture that shows {}",
    "this image has {}",
    "there is {} in this photo",
    "a photo spoiled by {}",
    "the quality suffers from {}",
)
WITH_ADJECTIVES = (
    "the photo is {}",
    "a picture that is {}",
    "this image looks {}",
    "a photo which came out {}",
)
WITHOUT_FAULTS = (
    "a clean photo with nothing wrong",
    "a photo without visible faults",
    "nothing is wrong with this picture",
    "a technically flawless image",
    "the photo is sharp, clean and well exposed",
)

# ITU-R BT.500's five grades of quality, each a fifth of the scale.
GRADES = (
    ("bad", "very poor", "terrible"),
    ("poor", "weak", "low quality"),
    ("fair", "average", "middling"),
    ("good", "fine", "high quality"),
    ("excellent", "superb", "outstanding"),
)
WITH_GRADE = ("{article} {grade} photo", "{article} {grade} picture", "technically, {article} {grade} image")


def description_of(kind: str, level: int) -> Description | None:
    """Return what rali should say of KADID-10k's ``kind`` at ``level``; None where it has no words for it."""
    family, strength = family_of(kind, level), Strength(KINDS[kind].visible[level - 1])
    if strength is Strength.NONE:
        return NOTHING_WRONG
    return next((each for each in DESCRIPTIONS if (each.family, each.strength) == (family, strength)), None)


def wordings(description: Description) -> tuple[str, ...]:
    """Return sentences that say ``description`` in as many ways as there are, so that their vectors can be averaged."""
    if description == NOTHING_WRONG:
        return WITHOUT_FAULTS
    nouns, adjectives = FAMILY_WORDS[Family(description.family)]
    with_nouns = product(WITH_NOUNS, BEFORE_NOUNS[description.strength], nouns)
    with_adjectives = product(WITH_ADJECTIVES, BEFORE_ADJECTIVES[description.strength], adjectives)
    return tuple(form.format(f"{before} {word}") for form, before, word in (*with_nouns, *with_adjectives))


def sentence_of_faults(faults: Iterable[tuple[str, int]], rng: Rng) -> str:
    """Say that a picture was ruined by ``faults``, kinds with their levels; those that nobody sees are left out."""
    seen = [(kind, level) for kind, level in faults if KINDS[kind].visible[level - 1]]
    if not seen:
        return _one_of(WITHOUT_FAULTS, rng)
    families = [family_of(kind, level) for kind, level in seen]
    if None not in families and rng.random() < 0.5:
        return _one_of(WITH_ADJECTIVES, rng).format(_listed(_adjectives(seen, rng)))
    return _one_of(WITH_NOUNS, rng).format(_listed(_nouns(seen, rng)))


def sentence_of_score(score: float, attributes: Sequence[str], rng: Rng) -> str:
    """Say a human ``score``, 0 to 100, in words, and with it measured ``attributes`` as ``describe`` gives them."""
    grade = _one_of(GRADES[min(4, max(0, int(score // 20)))], rng)
    sentence = _one_of(WITH_GRADE, rng).format(article="an" if grade[0] in "aeiou" else "a", grade=grade)
    if not attributes:
        return sentence
    return f"{sentence}, {_listed([attributes[index] for index in rng.permutation(len(attributes))])}"


def _nouns(faults: Iterable[tuple[str, int]], rng: Rng) -> Iterator[str]:
    for kind, level in faults:
        family, strength = family_of(kind, level), Strength(KINDS[kind].visible[level - 1])
        of_family = FAMILY_WORDS[family][0] if family else ()
        # "contrast change" is too harsh where it has no family and too flat where it has one, "saturation (HSV)" goes
        # from faded to false: what is said of the kind holds where it has no family.
        two_faults = kind in ("contrast change", "saturation (HSV)") and family
        of_kind = () if two_faults else KIND_NOUNS.get(kind, ())
        yield f"{_one_of(BEFORE_NOUNS[strength], rng)} {_one_of(of_family + of_kind, rng)}"


def _adjectives(faults: Iterable[tuple[str, int]], rng: Rng) -> Iterator[str]:
    for kind, level in faults:
        family, strength = family_of(kind, level), Strength(KINDS[kind].visible[level - 1])
        if family:
            yield f"{_one_of(BEFORE_ADJECTIVES[strength], rng)} {_one_of(FAMILY_WORDS[family][1], rng)}"


def _one_of(choices: Sequence[str], rng: Rng) -> str:
    return choices[int(rng.integers(len(choices)))]


def _listed(parts: Iterable[str]) -> str:
    """Join as people do: "a, b and c"."""
    *first, last = dict.fromkeys(parts)
    return f"{', '.join(first)} and {last}" if first else last
