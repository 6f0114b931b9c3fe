"""A scan finds each photo once, knows what belongs to it, and follows nothing out of the folders it was given."""

from __future__ import annotations

import os
import socket
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rali.errors import PathError
from rali.photos.photo import PHOTO_SUFFIXES, Photo
from rali.photos.scan import JOURNAL_NAME, SKIPPED_FOLDERS, Scan, matches_glob, resolve_roots
from rali.photos.shots import group_shots, shots_in

as_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode("utf-8", "surrogateescape"))


def _names(root: Path, photos: Iterable[Photo]) -> list[str]:
    return [os.path.relpath(photo.file, root) for photo in photos]


def _scanned(root: Path, **options: object) -> list[str]:
    return _names(root, Scan(resolve_roots([root]), **options))  # type: ignore[arg-type]


# --- what is found ------------------------------------------------------------------------------------------------


def test_photos_come_folder_by_folder_in_the_order_of_names(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "a.JPG", "sub/z.png", "sub/deep/x.heic", "other/y.CR3")
    assert _scanned(tmp_path) == ["a.JPG", "b.jpg", "other/y.CR3", "sub/z.png", "sub/deep/x.heic"]


def test_a_photo_says_which_file_it_is(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg")
    info = (tmp_path / "a.jpg").stat()
    [photo] = Scan([str(tmp_path)])
    assert photo == Photo(str(tmp_path / "a.jpg"), info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, ())


@pytest.mark.parametrize("suffix", sorted(PHOTO_SUFFIXES))
def test_every_suffix_counts_in_either_case(tmp_path: Path, suffix: str) -> None:
    _touch(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert _scanned(tmp_path) == [f"a{suffix}", f"b{suffix.upper()}"]


def test_other_files_are_counted_by_suffix(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a.xmp", "film.mp4", "film2.MP4", "notes.txt", "README", "jpg", ".jpg")
    scan = Scan([str(tmp_path)])
    assert _names(tmp_path, scan) == ["a.jpg"]
    assert scan.ignored == {".mp4": 2, ".txt": 1, "": 2}


def test_hidden_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "._a.jpg", ".hidden.jpg", ".Trash/b.jpg", ".Trash-1000/files/c.jpg", ".git/d.jpg")
    _touch(tmp_path, "sub/.thumbnails/e.jpg")
    assert _scanned(tmp_path) == ["a.jpg"]


def test_the_quarantine_inside_a_scanned_folder_is_never_scanned(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", ".rali-quarantine/run-1/b.jpg", "sub/.rali-quarantine/c.jpg")
    scan = Scan([str(tmp_path)])
    assert _names(tmp_path, scan) == ["a.jpg"]
    assert not any(".rali-quarantine" in folder for folder in scan.listed)


@pytest.mark.parametrize("name", sorted(SKIPPED_FOLDERS))
def test_folders_of_systems_and_nas_boxes_are_left_alone(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, "a.jpg", f"{name}/b.jpg", f"sub/{name}/c.jpg")
    assert _scanned(tmp_path) == ["a.jpg"]


def test_an_empty_folder_holds_no_photos(tmp_path: Path) -> None:
    scan = Scan([str(tmp_path)])
    assert list(scan) == []
    assert scan.listed == {str(tmp_path)}


# --- links, doubles, things that are no files ---------------------------------------------------------------------


def test_links_to_photos_and_folders_are_not_followed(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.jpg", "out/b.jpg", "out/more/c.jpg")
    root = tmp_path / "in"
    (root / "link.jpg").symlink_to(tmp_path / "out/b.jpg")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "itself.jpg").symlink_to(root / "itself.jpg")
    assert _scanned(root) == ["a.jpg"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.jpg", "a/b/y.jpg")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert _scanned(tmp_path) == ["a/x.jpg", "a/b/y.jpg"]
    with pytest.raises(PathError, match="one"):
        resolve_roots([tmp_path / "one"])


def test_a_root_that_is_a_link_is_followed_because_it_was_named(tmp_path: Path) -> None:
    _touch(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert resolve_roots([tmp_path / "link", tmp_path / "real"]) == [str(tmp_path / "real")]


def test_hard_links_are_one_photo(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "sub/other.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "sub/c.jpg")
    assert _scanned(tmp_path) == ["a.jpg", "sub/other.jpg"]


@pytest.mark.parametrize("roots", [["a", "a/b"], ["a/b", "a"], ["a", "a"], ["a", "a/../a/"], ["a/b/x.jpg", "a", "a/b"]])
def test_overlapping_roots_give_each_photo_once(tmp_path: Path, roots: list[str]) -> None:
    _touch(tmp_path, "a/b/x.jpg", "a/b/y.jpg", "a/z.jpg")
    found = _names(tmp_path, Scan(resolve_roots([tmp_path / root for root in roots])))
    assert sorted(found) == ["a/b/x.jpg", "a/b/y.jpg", "a/z.jpg"]


def test_what_is_no_regular_file_is_ignored_whatever_its_name(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.jpg"))  # a socket's path may not be long
        assert _scanned(tmp_path) == ["a.jpg"]
    with pytest.raises(PathError, match="neither a folder nor a file"):
        resolve_roots([tmp_path / "pipe.jpg"])


# --- names --------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_utf8_is_found_and_leads_back_to_its_file(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).mkdir()
    name = os.fsencode(tmp_path) + b"/caf\xe9/\xff\xfe.jpg"
    Path(os.fsdecode(name)).write_bytes(b"x")
    [photo] = Scan(resolve_roots([tmp_path]))
    assert os.fsencode(photo.file) == name
    assert photo.path.read_bytes() == b"x"


def test_names_that_only_look_alike_are_two_photos(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD"))
    _touch(tmp_path, composed, decomposed)
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system normalises names")
    assert {Path(photo.file).read_bytes().decode() for photo in Scan([str(tmp_path)])} == {composed, decomposed}


def test_the_sidecar_of_one_twin_is_not_taken_for_the_others(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    _touch(tmp_path, composed + ".jpg", decomposed + ".jpg", composed + ".xmp")
    found = {os.path.basename(photo.file): photo.companions for photo in Scan([str(tmp_path)])}
    assert found == {composed + ".jpg": (composed + ".xmp",), decomposed + ".jpg": ()}


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".jpg", "a\nb.jpg", "-rf.jpg", "*.jpg", "'\"`$(x).jpg", "\u202egpj.jpg", " .jpg", "a..jpg"]
)
def test_odd_names_are_found(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, name)
    assert _scanned(tmp_path) == [name]
    assert _names(tmp_path, Scan(resolve_roots([tmp_path / name]))) == [name]


def test_a_deep_tree_is_walked_to_its_end(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    _touch(deep, "a.jpg")
    assert len(_scanned(tmp_path)) == 1


# --- folders that cannot be read ----------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path, "a/x.jpg", "b/y.jpg", "c/z.jpg")
    real = os.scandir

    def refusing(folder: str) -> object:
        if os.path.basename(folder) == "b":
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)  # root may list every folder, so the refusal is put in
    scan = Scan([str(tmp_path)])
    assert _names(tmp_path, scan) == ["a/x.jpg", "c/z.jpg"]
    assert scan.unreadable == {str(tmp_path / "b"): "Permission denied"}
    assert str(tmp_path / "b") not in scan.listed


@as_root
def test_a_folder_without_permission_is_reported(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "b").chmod(0)
    try:
        scan = Scan([str(tmp_path)])
        assert _names(tmp_path, scan) == ["a/x.jpg"]
        assert list(scan.unreadable) == [str(tmp_path / "b")]
        with pytest.raises(PathError, match="permission"):
            resolve_roots([tmp_path / "b"])
    finally:
        (tmp_path / "b").chmod(0o755)


def test_a_folder_that_vanishes_during_the_walk_is_reported(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.jpg", "b/y.jpg")
    scan = Scan([str(tmp_path)])
    walk = iter(scan)
    next(walk)
    (tmp_path / "b/y.jpg").unlink()
    (tmp_path / "b").rmdir()
    assert list(walk) == []
    assert list(scan.unreadable) == [str(tmp_path / "b")]


def test_a_file_in_a_folder_that_cannot_be_listed_is_a_photo_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path, "a.jpg", "a.xmp")

    def refusing(folder: str) -> object:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", refusing)
    [photo] = Scan([str(tmp_path / "a.jpg")])
    assert photo.companions == ()


# --- roots --------------------------------------------------------------------------------------------------------


def test_a_file_that_was_named_is_a_photo_whatever_its_suffix_and_brings_its_companions(tmp_path: Path) -> None:
    _touch(tmp_path, "IMG.jpg", "IMG.CR3", "IMG.xmp", "other.jpg", "scan.dat")
    [photo] = Scan(resolve_roots([tmp_path / "IMG.jpg"]))
    assert photo.companions == ("IMG.CR3", "IMG.xmp")
    assert _names(tmp_path, Scan(resolve_roots([tmp_path / "scan.dat"]))) == ["scan.dat"]
    [alone] = Scan(resolve_roots([tmp_path / "IMG.jpg"]), pairs="each")
    assert alone.companions == ()


def test_a_missing_root_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"gone\\nfor good: No such file"):
        resolve_roots([tmp_path, tmp_path / "gone\nfor good"])


def test_a_root_below_the_home_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "Pictures/a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_roots(["~/Pictures"]) == [str(tmp_path / "Pictures")]


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "a/x.jpg")
    monkeypatch.chdir(tmp_path / "a")
    assert resolve_roots(["."]) == [str(tmp_path / "a")]


# --- globs --------------------------------------------------------------------------------------------------------

TREE = ("a.jpg", "b.png", "2024/c.jpg", "2024/raw/d.jpg", "2025/e.jpg", "2025/raw/f.png")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["*.jpg"]}, ["a.jpg", "2024/c.jpg", "2024/raw/d.jpg", "2025/e.jpg"]),
        ({"include": ["2024"]}, ["2024/c.jpg", "2024/raw/d.jpg"]),
        ({"include": ["2024/*"]}, ["2024/c.jpg", "2024/raw/d.jpg"]),
        ({"include": ["./2025/e.*"]}, ["2025/e.jpg"]),
        ({"include": ["a.*", "*.png"]}, ["a.jpg", "b.png", "2025/raw/f.png"]),
        ({"exclude": ["raw"]}, ["a.jpg", "b.png", "2024/c.jpg", "2025/e.jpg"]),
        ({"exclude": ["2024/raw"]}, ["a.jpg", "b.png", "2024/c.jpg", "2025/e.jpg", "2025/raw/f.png"]),
        ({"exclude": ["2024/raw/"]}, ["a.jpg", "b.png", "2024/c.jpg", "2025/e.jpg", "2025/raw/f.png"]),
        ({"exclude": ["[!ab].jpg"]}, ["a.jpg", "b.png", "2025/raw/f.png"]),
        ({"include": ["2025"], "exclude": ["*.png"]}, ["2025/e.jpg"]),
        ({"include": ["*.JPG"]}, []),
    ],
)
def test_globs_choose_what_is_scanned(tmp_path: Path, options: dict[str, list[str]], expected: list[str]) -> None:
    _touch(tmp_path, *TREE)
    assert _scanned(tmp_path, **options) == expected


def test_an_excluded_folder_is_not_even_listed(tmp_path: Path) -> None:
    _touch(tmp_path, *TREE)
    scan = Scan([str(tmp_path)], exclude=["2024"])
    list(scan)
    assert str(tmp_path / "2024") not in scan.listed


def test_a_glob_matches_a_named_file_by_its_name() -> None:
    assert matches_glob("/photos/a.jpg", "/photos/a.jpg", "*.jpg")
    assert not matches_glob("/photos/a.jpg", "/photos/a.jpg", "photos")


# --- companions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photos", "sidecars", "expected"),
    [
        # A RAW and its JPEG are one shot, led by the JPEG; else by the HEIC; else by the RAW.
        ("I.CR3 I.JPG", "", {"I.JPG": "I.CR3"}),
        ("I.HEIC I.DNG", "", {"I.HEIC": "I.DNG"}),
        ("I.HEIC I.JPG I.DNG", "", {"I.JPG": "I.DNG I.HEIC"}),
        ("I.ARW I.JPG I.jpeg", "", {"I.JPG": "I.ARW I.jpeg"}),
        ("I.NEF", "", {"I.NEF": ""}),
        ("I.DNG I.NEF", "", {"I.DNG": "I.NEF"}),
        # Without a RAW every picture is its own.
        ("I.jpg I.png", "", {"I.jpg": "", "I.png": ""}),
        ("I.heic I.jpg", "", {"I.heic": "", "I.jpg": ""}),
        ("I.NEF I.jpg I.png", "", {"I.jpg": "I.NEF", "I.png": ""}),
        ("I.NEF I.tif", "", {"I.NEF": "", "I.tif": ""}),
        ("I.NEF i.jpg", "", {"I.NEF": "", "i.jpg": ""}),
        ("I.NEF J.jpg", "", {"I.NEF": "", "J.jpg": ""}),
        # Both styles of XMP, and everything else that goes with a photo.
        ("I.jpg", "I.xmp", {"I.jpg": "I.xmp"}),
        ("I.jpg", "I.jpg.xmp", {"I.jpg": "I.jpg.xmp"}),
        ("I.CR3 I.JPG", "I.CR3.xmp I.JPG.xmp I.xmp", {"I.JPG": "I.CR3 I.CR3.xmp I.JPG.xmp I.xmp"}),
        ("I.HEIC", "I.AAE I.MOV", {"I.HEIC": "I.AAE I.MOV"}),
        ("I.HEIC I.DNG", "I.MOV I.XMP", {"I.HEIC": "I.DNG I.MOV I.XMP"}),
        ("I.NEF", "I.NEF.pp3 I.on1 I.dop", {"I.NEF": "I.NEF.pp3 I.dop I.on1"}),
        # Of several pictures with one stem, the RAW's shot takes the sidecar, then the JPEG.
        ("I.jpg I.png", "I.xmp", {"I.jpg": "I.xmp", "I.png": ""}),
        ("I.gif I.png", "I.xmp", {"I.gif": "I.xmp", "I.png": ""}),
        ("I.NEF I.jpg I.png", "I.xmp", {"I.jpg": "I.NEF I.xmp", "I.png": ""}),
        ("I.NEF I.png", "I.xmp", {"I.NEF": "I.xmp", "I.png": ""}),
        ("I.jpg I.png", "I.png.xmp", {"I.jpg": "", "I.png": "I.png.xmp"}),
        # Of a live photo and the JPEG made of it, the film and the edits are the HEIC's.
        ("I.HEIC I.JPG", "I.MOV I.AAE I.xmp", {"I.HEIC": "I.AAE I.MOV", "I.JPG": "I.xmp"}),
        # The RAW was deleted, and its stars are the JPEG's now.
        ("I.JPG", "I.NEF.xmp", {"I.JPG": "I.NEF.xmp"}),
        # A sidecar of nobody belongs to nobody.
        ("I.jpg", "J.xmp J.jpg.xmp", {"I.jpg": ""}),
        ("I.1.jpg", "I.xmp", {"I.1.jpg": ""}),
        ("", "I.xmp", {}),
    ],
)
def test_the_files_of_a_shot_are_grouped(photos: str, sidecars: str, expected: dict[str, str]) -> None:
    shots = {leader: tuple(others.split()) for leader, others in expected.items()}
    assert group_shots(photos.split(), sidecars.split()) == shots


def test_a_scan_groups_shots_within_a_folder_only(tmp_path: Path) -> None:
    _touch(tmp_path, "I.CR3", "I.JPG", "I.xmp", "film.mov", "sub/I.CR3", "sub/J.jpg", "sub/J.mov")
    found = {name: photo.companions for name, photo in _by_name(tmp_path, "together").items()}
    assert found == {"I.JPG": ("I.CR3", "I.xmp"), "sub/I.CR3": (), "sub/J.jpg": ("J.mov",)}


def test_each_file_is_its_own_shot_if_asked_for(tmp_path: Path) -> None:
    _touch(tmp_path, "I.CR3", "I.JPG", "I.HEIC", "I.xmp")
    found = {name: photo.companions for name, photo in _by_name(tmp_path, "each").items()}
    assert found == {"I.CR3": (), "I.JPG": (), "I.HEIC": ()}


def _by_name(root: Path, pairs: str) -> dict[str, Photo]:
    return {os.path.relpath(photo.file, root): photo for photo in Scan([str(root)], pairs=pairs)}  # type: ignore[arg-type]


NAMES = st.builds(
    "{}{}".format,
    st.sampled_from(["a", "b", "a.jpg", "A"]),
    st.sampled_from([".jpg", ".JPG", ".cr3", ".heic", ".png", ".dng", ".jpeg"]),
)
SIDECARS = st.builds(
    "{}{}".format, st.sampled_from(["a", "b", "a.jpg", "a.cr3", "c"]), st.sampled_from([".xmp", ".aae", ".mov"])
)


@settings(max_examples=300, deadline=None)
@given(st.sets(NAMES), st.sets(SIDECARS))
def test_grouping_loses_and_doubles_no_photo(photos: set[str], sidecars: set[str]) -> None:
    shots = group_shots(sorted(photos), sorted(sidecars))
    members = [name for leader, others in shots.items() for name in (leader, *others)]
    assert len(members) == len(set(members))
    assert photos <= set(members) <= photos | sidecars
    assert set(shots) <= photos


# --- what a cull needs ----------------------------------------------------------------------------------------------


def test_a_shallow_scan_leaves_out_the_folders_below(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "sub/b.jpg")
    scan = Scan([str(tmp_path)], deep=False)
    assert _names(tmp_path, scan) == ["a.jpg"]
    assert scan.listed == {str(tmp_path)}


def test_what_was_culled_is_not_found_again_wherever_it_was_put(tmp_path: Path) -> None:
    _touch(
        tmp_path, "a.jpg", f"to/{JOURNAL_NAME}", "to/b.jpg", "to/!first.jpg", "to/sub/c.jpg", ".rali-quarantine/d.jpg"
    )
    _touch(tmp_path, "journal.jsonl/e.jpg", f"{JOURNAL_NAME}.bak/f.jpg", "g/.hidden")
    scan = Scan([str(tmp_path)])
    assert _names(tmp_path, scan) == ["a.jpg", "journal.jsonl/e.jpg"]
    assert str(tmp_path / "to") not in scan.listed
    assert _scanned(tmp_path / "to") == []


def test_the_shots_in_a_folder_come_with_every_name_of_a_file(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a.CR2", "a.xmp", "c.dat", "d.dat", ".e.jpg", "sub/f.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    assert shots_in(str(tmp_path), also={"c.dat", "gone.jpg", "link.jpg"}) == {
        "a.jpg": ("a.CR2", "a.xmp"),
        "b.jpg": (),
        "c.dat": (),
    }


@pytest.fixture(params=["by descriptor", "by path"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """List folders as POSIX lets us, and as Windows does."""
    way: str = request.param
    if way == "by path":
        monkeypatch.setattr(os, "supports_fd", os.supports_fd - {os.scandir})
    elif os.scandir not in os.supports_fd:
        pytest.skip("folders have no descriptors here")
    return way


@pytest.fixture
def vanishing(both_ways: str, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Delete the files in this list as soon as a folder was listed, before anything in it is looked at."""
    files: list[Path] = []
    scandir = os.scandir

    @contextmanager
    def listed(folder: str | int) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            listing: list[os.DirEntry[str]] = list(entries)
        for file in files:
            file.unlink(missing_ok=True)
        yield listing

    monkeypatch.setattr(os, "scandir", listed)
    if both_ways == "by descriptor":
        monkeypatch.setattr(os, "supports_fd", os.supports_fd | {listed})
    return files


def test_a_raw_whose_jpeg_vanishes_during_the_look_is_a_shot_of_its_own(tmp_path: Path, vanishing: list[Path]) -> None:
    _touch(tmp_path, "a.jpg", "a.heic", "a.CR3", "a.xmp", "b.jpg")
    vanishing += [tmp_path / "a.jpg", tmp_path / "a.heic"]

    scan = Scan([str(tmp_path)])
    found = {Path(photo.file).name: photo.companions for photo in scan}

    assert found == {"a.CR3": ("a.xmp",), "b.jpg": ()}
    assert set(scan.unreadable) == {str(tmp_path / "a.jpg"), str(tmp_path / "a.heic")}


def test_a_photo_that_vanishes_during_the_look_is_reported_and_the_rest_is_found(
    tmp_path: Path, vanishing: list[Path]
) -> None:
    _touch(tmp_path, "a.jpg", "b.jpg", "sub/c.jpg")
    vanishing += [tmp_path / "a.jpg"]

    scan = Scan([str(tmp_path)])

    assert _names(tmp_path, scan) == ["b.jpg", "sub/c.jpg"]
    assert set(scan.unreadable) == {str(tmp_path / "a.jpg")}


@pytest.mark.usefixtures("both_ways")
def test_both_ways_of_listing_find_the_same(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "a.CR3", "a.jpg", "a.xmp", ".hidden.jpg", "sub/\udce9.jpg", "film.mp4", "culled/x.jpg")
    _touch(tmp_path, f"culled/{JOURNAL_NAME}")
    info = (tmp_path / "b.jpg").stat()

    photos = list(Scan([str(tmp_path)]))

    assert _names(tmp_path, photos) == ["a.jpg", "b.jpg", "sub/\udce9.jpg"]
    assert photos[0].companions == ("a.CR3", "a.xmp")
    assert photos[1] == Photo(str(tmp_path / "b.jpg"), info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, ())
