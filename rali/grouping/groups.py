"""Which frames are of one moment: a pure function over plain records, the same whatever their order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rali.grouping.clock import Body, Span, bodies_of, may_be_one_moment, spans_of
from rali.grouping.frame import Frame, Group, Kind
from rali.grouping.likeness import DUPLICATE_BITS, Likeness, Limits, near_duplicates
from rali.grouping.sequences import Sequences, without

# Seconds from one frame to the next: of one moment, of one pose that is taken again, and by a shutter held down.
_MOMENT_S, _POSE_S, _HELD_S, _HELD_TOLD_S = 2.0, 10.0, 0.35, 1.0
_LONGEST_S = 60.0  # of a group, from its first frame on: a stage show is not one moment
_OPEN = 8  # how many groups of one body can be waiting for their next frame, two subjects in turn, say
_HELD = Limits(bits=24, cosine=0.65, both_bits=0, both_cosine=1.0)
_MOMENT = Limits(bits=16, cosine=0.80, both_bits=22, both_cosine=0.65)
_POSE = Limits(bits=10, cosine=0.88, both_bits=14, both_cosine=0.80)
# Of a group's first frame and each other: what changes bit by bit ends up as something else.
_FIRST = Limits(bits=22, cosine=0.65, both_bits=0, both_cosine=1.0)
_FIRST_DUPLICATE_BITS = 2 * DUPLICATE_BITS


def group_frames(
    frames: Iterable[Frame],
    *,
    vectors: Mapping[int, NDArray[np.float16]] | None = None,
    splits: Iterable[Iterable[int]] = (),
) -> list[Group]:
    """Find the groups among ``frames``: every frame is in one at most.

    Args:
        frames: each with another key.
        vectors: key -> the model's embedding [D], for as many frames as have one.
        splits: keys of which no two are in one group.

    Returns:
        Groups of two frames or more, in the order of time.
    """
    ordered = sorted(frames)
    likeness = Likeness(ordered, vectors or {})
    bodies = bodies_of(ordered)
    spans = spans_of(ordered, bodies)
    timed = _of_one_moment(ordered, bodies, spans, likeness)
    joined = _with_duplicates(ordered, bodies, spans, likeness, timed)
    apart = _conflicts(ordered, splits)
    when = [(math.inf if span is None else span.start, frame.key) for frame, span in zip(ordered, spans, strict=True)]
    groups = []
    for kind, places in joined:
        for part in _parted(sorted(places, key=when.__getitem__), apart, likeness):
            if len(part) > 1:
                groups.append((when[part[0]], Group(kind, tuple(ordered[place].key for place in part))))
    return [group for _, group in sorted(groups)]


# --- frames with a time that can be trusted ------------------------------------------------------------------------


def _of_one_moment(
    frames: Sequence[Frame], bodies: Sequence[Body], spans: Sequence[Span | None], likeness: Likeness
) -> list[tuple[Kind, list[int]]]:
    """Return the groups that a body's clock, and what its frames look like, make."""
    sequences = Sequences(frames, spans, likeness)
    groups: list[tuple[Kind, list[int]]] = [("burst", places) for places in _named_bursts(frames, bodies)]
    named = {place for _, places in groups for place in places}
    for run in _runs(bodies, spans, sequences, named):
        brackets = sequences.brackets(run)
        run = without(run, brackets)
        panoramas = sequences.panoramas(run)
        run = without(run, panoramas)
        groups += [("bracket", places) for places in brackets]
        groups += [("panorama", places) for places in panoramas]
        for places in _bursts(run, spans, sequences, likeness):
            groups.append((_kind_of(places, spans, sequences, likeness), places))
    return groups


def _named_bursts(frames: Sequence[Frame], bodies: Sequence[Body]) -> Iterator[list[int]]:
    """Yield the frames that their camera gives one name of a burst."""
    named: dict[tuple[Body, str], list[int]] = {}
    for place, (frame, body) in enumerate(zip(frames, bodies, strict=True)):
        if frame.exposure is not None and frame.exposure.burst is not None:
            named.setdefault((body, frame.exposure.burst), []).append(place)
    return (places for places in named.values() if len(places) > 1)


def _runs(
    bodies: Sequence[Body], spans: Sequence[Span | None], sequences: Sequences, taken: set[int]
) -> Iterator[list[int]]:
    """Yield each body's frames in the order of time, cut where it took none for a while; only exact times count."""
    by_body: dict[Body, list[tuple[float, int]]] = {}
    for place, span in enumerate(spans):
        if span is not None and span.is_exact and place not in taken:
            by_body.setdefault(bodies[place], []).append((span.start, place))
    for found in by_body.values():
        run: list[int] = []
        for _, place in sorted(found):
            if run and sequences.gap_s(run[-1], place) > _POSE_S:
                yield run
                run = []
            run.append(place)
        yield run


def _bursts(
    run: Sequence[int], spans: Sequence[Span | None], sequences: Sequences, likeness: Likeness
) -> list[list[int]]:
    """Return the groups of one frame or more in a run: each joins the group, of the latest, that it is most like."""
    groups: list[list[int]] = []
    latest: list[list[int]] = []
    for place in run:
        fitting = [group for group in latest if _fits(group, place, spans, sequences, likeness)]
        if fitting:
            own = min(fitting, key=lambda group: (likeness.bits(group[-1], place), group[0]))
            latest.remove(own)
        else:
            own = []
            groups.append(own)
        own.append(place)
        latest = [*latest, own][-_OPEN:]
    return [group for group in groups if len(group) > 1]


def _fits(
    group: Sequence[int], place: int, spans: Sequence[Span | None], sequences: Sequences, likeness: Likeness
) -> bool:
    first, last = group[0], group[-1]
    gap_s = sequences.gap_s(last, place)
    if gap_s > _POSE_S or sequences.gap_s(first, place) > _LONGEST_S:
        return False
    if _held_down(last, place, gap_s, spans, sequences) and likeness.alike(last, place, _HELD):
        return True
    limits = _MOMENT if gap_s <= _MOMENT_S else _POSE
    return likeness.alike(last, place, limits) and likeness.alike(first, place, _FIRST)


def _held_down(last: int, place: int, gap_s: float, spans: Sequence[Span | None], sequences: Sequences) -> bool:
    """Tell if the shutter was held down from one frame to the next: the camera says so, or no finger is so fast."""
    if sequences.exposure(last).drive == sequences.exposure(place).drive == "continuous":
        return gap_s <= _HELD_TOLD_S
    one, other = spans[last], spans[place]
    told_finely = one is not None and other is not None and max(one.end - one.start, other.end - other.start) <= 0.1
    return told_finely and gap_s <= _HELD_S


def _kind_of(places: Sequence[int], spans: Sequence[Span | None], sequences: Sequences, likeness: Likeness) -> Kind:
    if sequences.is_focus_stack(places):
        return "focus stack"
    first = spans[places[0]]
    one_instant = first is not None and first.end - first.start < 1 and all(spans[place] == first for place in places)
    if one_instant and all(likeness.bits(places[0], place) <= DUPLICATE_BITS for place in places):
        return "duplicates"  # one frame, saved again
    return "burst"


# --- near-duplicates, whatever their time ---------------------------------------------------------------------------


def _with_duplicates(
    frames: Sequence[Frame],
    bodies: Sequence[Body],
    spans: Sequence[Span | None],
    likeness: Likeness,
    groups: Sequence[tuple[Kind, list[int]]],
) -> list[tuple[Kind, list[int]]]:
    """Add near-duplicates to the groups that hold their like, and make groups of those that are in none.

    Nearest first. What has a time never joins what has another, not even by way of a copy without any.
    """
    members: dict[int, list[int]] = {}  # by the first frame of each group
    kinds: dict[int, Kind] = {}
    leader = list(range(len(frames)))
    # A frame with a time, by itself, and by the first frame of a group that has none.
    timed = {place: place for place, span in enumerate(spans) if span is not None}
    for kind, places in groups:
        members[places[0]], kinds[places[0]] = list(places), kind
        for place in places:
            leader[place] = places[0]
            if place in timed:
                timed.setdefault(places[0], place)
    for _, one, other in sorted(near_duplicates(frames, likeness)):
        # The lesser joins the greater: a copy the moment that it shows.
        into, out = sorted((leader[one], leader[other]), key=lambda first: (_is_copy(kinds, first), first))
        if into == out or not _is_copy(kinds, out):
            continue
        if _is_copy(kinds, into) and likeness.bits(into, out) > _FIRST_DUPLICATE_BITS:
            continue
        a, b = (timed.get(place, timed.get(leader[place])) for place in (one, other))
        if a is not None and b is not None and not _one_shot(a, b, bodies, spans):
            continue
        moved = members.pop(out, [out])
        kinds.pop(out, None)
        members.setdefault(into, [into]).extend(moved)
        kinds.setdefault(into, "duplicates")
        for place in moved:
            leader[place] = into
        if out in timed:
            timed.setdefault(into, timed[out])
    return [(kinds[first], places) for first, places in members.items()]


def _is_copy(kinds: Mapping[int, Kind], first: int) -> bool:
    """Tell a group of duplicates, and a frame in no group, from a moment."""
    return kinds.get(first, "duplicates") == "duplicates"


def _one_shot(one: int, other: int, bodies: Sequence[Body], spans: Sequence[Span | None]) -> bool:
    """Tell if two frames with time stamps can be one shot: one may have lost its camera or part of the time."""
    if bodies[one] != bodies[other] and bodies[one][0] is not None and bodies[other][0] is not None:
        return False
    return may_be_one_moment(spans[one], spans[other])


# --- what the user said ----------------------------------------------------------------------------------------------


def _conflicts(frames: Sequence[Frame], splits: Iterable[Iterable[int]]) -> list[set[int]]:
    """Return for each frame the numbers of the splits that name it."""
    places = {frame.key: place for place, frame in enumerate(frames)}
    found: list[set[int]] = [set() for _ in frames]
    for number, split in enumerate(splits):
        for key in split:
            if key in places:
                found[places[key]].add(number)
    return found


def _parted(group: Sequence[int], apart: Sequence[set[int]], likeness: Likeness) -> list[list[int]]:
    """Cut a group so that no split has two frames in one part; each frame goes with the like of it before it."""
    parts: list[list[int]] = []
    named: list[set[int]] = []
    for place in group:
        open_parts = [number for number, names in enumerate(named) if names.isdisjoint(apart[place])]
        if open_parts:
            best = min(open_parts, key=lambda number: (likeness.bits(parts[number][-1], place), -number))
            parts[best].append(place)
            named[best] |= apart[place]
        else:
            parts.append([place])
            named.append(set(apart[place]))
    return parts
