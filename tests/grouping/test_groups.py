"""What is one moment, what is not, and what is kept whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rali.grouping.frame import Frame, Group
from rali.grouping.groups import group_frames
from rali.photos.exif import Exposure

PLAIN = Exposure(exposure_s=0.01, bias_ev=0.0, f_number=4.0, iso=100.0, focal_mm=50.0)
# Hashes of five scenes; each pair differs in about half of the bits.
SCENES = [random.Random(seed).getrandbits(64) for seed in range(5)]


def changed(value: int, bits: int, seed: int = 1) -> int:
    """Change that many bits of a hash."""
    for bit in random.Random(seed).sample(range(64), bits):
        value ^= 1 << bit
    return value


def frame(key: int, at: float | str | None = None, *, look: int = SCENES[0], **more: Any) -> Frame:
    """Make a frame; ``at`` is seconds after noon, to the hundredth, or a stamp."""
    stamp = f"2026-05-01T12:{int(at) // 60:02}:{at % 60:05.2f}" if isinstance(at, float) else at
    values: dict[str, Any] = {"camera": "Maker Body", "exposure": PLAIN, "width": 6000, "height": 4000} | more
    return Frame(key, stamp, values["camera"], values["exposure"], look, values["width"], values["height"])


def grouped(frames: Sequence[Frame], **more: Any) -> list[tuple[str, set[int]]]:
    return [(group.kind, set(group.keys)) for group in group_frames(frames, **more)]


def sets(groups: Sequence[Group]) -> set[frozenset[int]]:
    return {frozenset(group.keys) for group in groups}


# --- bursts ------------------------------------------------------------------------------------------------------


def test_frames_that_follow_at_once_and_look_alike_are_a_burst() -> None:
    frames = [frame(number, number * 0.2, look=changed(SCENES[0], number, number)) for number in range(5)]

    assert group_frames(frames) == [Group("burst", (0, 1, 2, 3, 4))]


def test_another_subject_a_moment_later_is_another_group() -> None:
    frames = [frame(1, 0.1), frame(2, 0.6), frame(3, 1.2, look=SCENES[1]), frame(4, 1.8, look=SCENES[1])]

    assert grouped(frames) == [("burst", {1, 2}), ("burst", {3, 4})]


def test_two_bodies_of_one_model_that_shoot_the_same_make_two_groups() -> None:
    bodies = [replace(PLAIN, body=serial) for serial in ("1", "2")]
    frames = [frame(10 * body + number, number * 0.5, exposure=bodies[body]) for body in (0, 1) for number in (1, 2)]

    assert grouped(frames) == [("burst", {1, 2}), ("burst", {11, 12})]


def test_the_same_look_an_hour_later_is_no_group() -> None:
    assert grouped([frame(1, 0.1), frame(2, "2026-05-01T13:00:00.10")]) == []


def test_a_pose_taken_again_must_look_more_alike_than_the_next_frame_of_a_moment() -> None:
    nearly, less = changed(SCENES[0], 8), changed(SCENES[0], 15)

    assert grouped([frame(1, 0.1), frame(2, 6.1, look=nearly)]) == [("burst", {1, 2})]
    assert grouped([frame(1, 0.1), frame(2, 1.1, look=less)]) == [("burst", {1, 2})]
    assert grouped([frame(1, 0.1), frame(2, 6.1, look=less)]) == []


def test_an_embedding_tells_a_shifted_frame_from_another_scene() -> None:
    frames = [frame(1, 0.1), frame(2, 1.1, look=changed(SCENES[0], 28))]
    scene = np.random.default_rng(0).normal(size=16).astype(np.float16)
    other = np.random.default_rng(1).normal(size=16).astype(np.float16)

    assert grouped(frames) == []
    assert grouped(frames, vectors={1: scene, 2: scene * np.float16(1.1)}) == [("burst", {1, 2})]
    assert grouped(frames, vectors={1: scene, 2: other}) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_an_embedding_that_is_no_direction_says_nothing(broken: float) -> None:
    vectors: dict[int, NDArray[np.float16]] = {key: np.full(8, broken, dtype=np.float16) for key in (1, 2)}

    assert grouped([frame(1, 0.1), frame(2, 0.6)], vectors=vectors) == [("burst", {1, 2})]
    assert grouped([frame(1, 0.1), frame(2, 0.6, look=SCENES[1])], vectors=vectors) == []


def test_two_hours_of_a_stage_are_not_one_group() -> None:
    frames = [frame(number, number * 1.5) for number in range(400)]

    sizes = [len(group.keys) for group in group_frames(frames)]

    assert sum(sizes) == 400
    assert max(sizes) <= 45


def test_what_changes_bit_by_bit_does_not_end_up_with_what_it_began_as() -> None:
    looks = [SCENES[0]]
    for bit in range(0, 60, 5):  # a pan: each frame 5 bits from the one before, the last 60 from the first
        looks.append(looks[-1] ^ (0b11111 << bit))
    frames = [frame(number, number * 1.5, look=look) for number, look in enumerate(looks)]

    for group in group_frames(frames):
        assert max((looks[group.keys[0]] ^ looks[key]).bit_count() for key in group.keys) <= 22


def test_a_shutter_that_is_held_down_makes_one_burst_of_a_pan() -> None:
    looks = [SCENES[0]]
    for bit in range(0, 60, 10):
        looks.append(looks[-1] ^ (0x3FF << bit))
    slow = [frame(number, number * 0.8, look=look) for number, look in enumerate(looks)]
    told = [one._replace(exposure=replace(PLAIN, drive="continuous")) for one in slow]
    fast = [frame(number, number * 0.1, look=look) for number, look in enumerate(looks)]

    assert len(grouped(slow)) > 1
    assert grouped(told) == grouped(fast) == [("burst", set(range(7)))]


def test_the_cameras_own_name_for_a_burst_counts_more_than_looks_and_time() -> None:
    named = replace(PLAIN, burst="6C3B2A10")
    frames = [frame(1, 0.1, exposure=named), frame(2, 30.1, look=SCENES[1], exposure=named), frame(3, 30.2)]

    assert grouped(frames) == [("burst", {1, 2})]


# --- brackets, stacks, panoramas ---------------------------------------------------------------------------------


def bracketed(key: int, at: float, bias: float, **more: Any) -> Frame:
    exposure = replace(PLAIN, bias_ev=bias, exposure_s=0.01 * 2**bias, **more)
    return frame(key, at, look=changed(SCENES[0], 12 if bias else 0, key), exposure=exposure)


def test_biases_that_step_are_a_bracket_and_begin_another_when_one_comes_again() -> None:
    frames = [bracketed(number, number * 0.3, (0.0, -2.0, 2.0)[number % 3]) for number in range(6)]

    assert grouped(frames) == [("bracket", {0, 1, 2}), ("bracket", {3, 4, 5})]


def test_two_frames_are_a_bracket_only_if_the_camera_says_so() -> None:
    two = [bracketed(1, 0.1, 0.0), bracketed(2, 0.5, 1.0)]
    told = [one._replace(exposure=replace(one.exposure or PLAIN, drive="bracket")) for one in two]

    assert grouped(two) == [("burst", {1, 2})]
    assert grouped(told) == [("bracket", {1, 2})]


def test_manual_exposures_a_stop_apart_of_one_scene_are_a_bracket() -> None:
    times = (0.005, 0.01, 0.02)
    frames = [frame(key, key * 1.0, exposure=replace(PLAIN, exposure_s=time)) for key, time in enumerate(times)]

    assert grouped(frames) == [("bracket", {0, 1, 2})]


def test_automatic_exposure_that_wanders_makes_no_bracket() -> None:
    times = (0.01, 0.011, 0.0095, 0.012)
    frames = [frame(key, key * 0.5, exposure=replace(PLAIN, exposure_s=time)) for key, time in enumerate(times)]

    assert grouped(frames) == [("burst", {0, 1, 2, 3})]


def test_a_long_exposure_is_no_gap_in_a_bracket() -> None:
    starts, times = (0.1, 1.2, 6.0), (1.0, 4.0, 16.0)
    frames = [
        frame(key, start, exposure=replace(PLAIN, exposure_s=time, bias_ev=2.0 * key - 2))
        for key, (start, time) in enumerate(zip(starts, times, strict=True))
    ]

    assert grouped(frames) == [("bracket", {0, 1, 2})]


def test_a_focus_that_moves_one_way_makes_a_stack_and_one_that_hunts_does_not() -> None:
    def focused(distances: Sequence[float | None]) -> list[Frame]:
        return [
            frame(key, key * 0.3, exposure=replace(PLAIN, distance_m=distance))
            for key, distance in enumerate(distances)
        ]

    assert grouped(focused([0.30, 0.31, 0.32, 0.33])) == [("focus stack", {0, 1, 2, 3})]
    for distances in ([0.30, 0.32, 0.31, 0.33], [0.3, 0.3, 0.3, 0.3], [0.30, None, 0.32, 0.33]):
        assert grouped(focused(distances)) == [("burst", {0, 1, 2, 3})]


def slid(value: int, columns: int) -> int:
    """Move a hash's picture to the left by columns; what comes in from the right is new."""
    rows = [(value >> (8 * row)) & 0xFF for row in range(8)]
    new = random.Random(value ^ columns).getrandbits
    moved = [((row << columns) & 0xFF) | new(columns) for row in rows]
    return sum(row << (8 * number) for number, row in enumerate(moved))


def sweep(count: int, **more: Any) -> list[Frame]:
    looks = [SCENES[2]]
    while len(looks) < count:
        looks.append(slid(looks[-1], 3))
    return [frame(key, key * 1.5, look=look, **more) for key, look in enumerate(looks)]


def test_frames_that_slide_on_the_same_way_are_a_panorama_either_way() -> None:
    right = sweep(4)
    left = [one._replace(captured_at=right[3 - number].captured_at) for number, one in enumerate(right)]

    assert grouped(right) == grouped(left) == [("panorama", {0, 1, 2, 3})]


def test_two_frames_or_exposures_that_change_are_no_panorama() -> None:
    changing = [one._replace(exposure=replace(PLAIN, exposure_s=0.01 + key / 99)) for key, one in enumerate(sweep(4))]

    assert "panorama" not in [kind for kind, _ in grouped([*sweep(2), *changing[2:]])]


# --- near-duplicates and times that say little -------------------------------------------------------------------


@pytest.mark.parametrize("stamp", ["2026-05-01T12:05:00", "2026-05-01T00:00:00", None])
def test_times_without_seconds_make_no_bursts_of_what_only_looks_alike(stamp: str | None) -> None:
    frames = [frame(number, stamp, look=changed(SCENES[0], 7, number)) for number in range(10)]

    assert grouped(frames) == []


def test_copies_without_a_time_join_the_frame_that_they_are_of() -> None:
    burst = [frame(1, 0.1), frame(2, 0.5, look=changed(SCENES[0], 6))]
    copy = frame(3, None, look=changed(SCENES[0], 1), camera=None, exposure=None, width=1600, height=1067)

    assert grouped([*burst, copy]) == [("burst", {1, 2, 3})]


def test_near_duplicates_without_any_time_are_found_and_a_cut_is_none() -> None:
    copies = [frame(key, None, look=changed(SCENES[0], key), camera=None) for key in range(3)]
    cut = frame(9, None, camera=None, width=4000, height=4000)

    assert grouped([*copies, cut]) == [("duplicates", {0, 1, 2})]


def test_a_copy_that_kept_its_time_and_lost_its_camera_joins_the_frame_of_that_second() -> None:
    burst = [frame(1, 10.1), frame(2, 14.1, look=changed(SCENES[0], 6))]
    copy = frame(3, "2026-05-01T12:00:14", look=changed(SCENES[0], 6), camera=None)
    later = frame(4, "2026-05-01T12:01:24", look=changed(SCENES[0], 6), camera=None)

    assert grouped([*burst, copy, later]) == [("burst", {1, 2, 3})]


def test_a_copy_does_not_make_one_group_of_two_moments() -> None:
    moments = [frame(1, 0.1), frame(2, 0.4), frame(3, 1800.1), frame(4, 1800.4)]

    groups = grouped([*moments, frame(5, None, camera=None)])

    assert len(groups) == 2
    assert sum(5 in keys for _, keys in groups) == 1


@pytest.mark.parametrize("look", [0, 1, (1 << 64) - 1], ids=hex)
def test_pictures_without_detail_are_no_duplicates(look: int) -> None:
    assert grouped([frame(key, None, look=look) for key in range(5)]) == []


def test_a_frame_saved_again_is_a_duplicate_and_no_burst() -> None:
    assert grouped([frame(1, 7.25), frame(2, 7.25), frame(3, 99.5)]) == [("duplicates", {1, 2})]


def test_pairs_within_three_bits_are_all_found_among_thousands() -> None:
    pairs = [(number, random.Random(number).getrandbits(64)) for number in range(2000)]
    frames = [frame(number, None, look=look) for number, look in pairs]
    frames += [frame(number + 5000, None, look=changed(look, number % 4, number)) for number, look in pairs]

    assert sets(group_frames(frames)) == {frozenset({number, number + 5000}) for number in range(2000)}


# --- what the user said ------------------------------------------------------------------------------------------


def test_what_was_split_stays_apart_and_the_others_go_with_their_like() -> None:
    looks = [SCENES[0], changed(SCENES[0], 3, 1), changed(SCENES[0], 9, 7), changed(SCENES[0], 9, 7)]
    frames = [frame(number, number * 0.5, look=look) for number, look in enumerate(looks)]

    assert grouped(frames) == [("burst", {0, 1, 2, 3})]
    assert grouped(frames, splits=[[0, 2]]) == [("burst", {0, 1}), ("burst", {2, 3})]
    assert grouped(frames, splits=[[0, 1, 2, 3]]) == []


LOOKS = st.builds(changed, st.sampled_from(SCENES), st.integers(0, 12), st.integers(0, 50))
STAMPS = st.one_of(
    st.none(),
    st.integers(0, 3000).map(lambda tenths: f"2026-05-01T12:{tenths // 600:02}:{tenths / 10 % 60:04.1f}"),
    st.integers(0, 300).map(lambda seconds: f"2026-05-01T12:{seconds // 60:02}:{seconds % 60:02}"),
    st.just("2026-05-01T00:00:00"),
)
EXPOSURES = st.builds(
    Exposure,
    body=st.sampled_from([None, "1", "2"]),
    burst=st.sampled_from([None, None, None, "B"]),
    drive=st.sampled_from([None, "single", "continuous", "bracket"]),
    exposure_s=st.sampled_from([None, 0.01, 0.02, 0.04]),
    bias_ev=st.sampled_from([None, -1.0, 0.0, 1.0]),
    distance_m=st.sampled_from([None, 1.0, 2.0, 3.0]),
)
FRAMES = st.lists(
    st.builds(
        Frame, st.integers(0, 10_000), STAMPS, st.sampled_from([None, "A", "B"]), st.none() | EXPOSURES, LOOKS,
        st.just(60), st.sampled_from([40, 60]),
    ),
    max_size=25, unique_by=lambda one: one.key,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(frames=FRAMES, data=st.data())
def test_groups_are_whole_disjoint_respect_the_user_and_do_not_depend_on_order(
    frames: list[Frame], data: st.DataObject
) -> None:
    keys = [one.key for one in frames]
    splits = data.draw(st.lists(st.sets(st.sampled_from(keys)), max_size=3)) if keys else []
    vectors = {key: np.array([key % 7, 1, key % 3], dtype=np.float16) for key in keys if key % 2}

    groups = group_frames(frames, vectors=vectors, splits=splits)

    members = [key for group in groups for key in group.keys]
    assert len(members) == len(set(members))
    assert set(members) <= set(keys)
    assert all(len(group.keys) >= 2 for group in groups)
    for group in groups:
        for split in splits:
            assert not any({one, other} <= split for one, other in combinations(group.keys, 2))
    shuffled = data.draw(st.permutations(frames))
    assert group_frames(shuffled, vectors=vectors, splits=splits[::-1]) == groups
