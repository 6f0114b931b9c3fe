"""A soak of moves: random shots, culls, undos and purges, killed or failing at random; nothing may be lost or doubled.

    python scripts/soak_moves.py --minutes 30
    python scripts/soak_moves.py --seed 1234567         one round again

A round has a seed of its own, from which everything in it follows: the files, what is done, where it is killed (before
or after any call of the mover, or of the system). What must hold after each step is in :meth:`Round.check`. A round
that breaks it is printed with its seed and its steps, and its folders are kept.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bench_tools import fill_catalog
from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal, Mode, MoveRecord, MoveState, RunRecord
from rali.catalog.records import Scoring
from rali.culling.plan import CullPlan, PlannedShot, ShotFile
from rali.culling.plan_file import load_plan, save_plan
from rali.errors import RaliError
from rali.moving.disposal import purge
from rali.moving.moves import Fs
from rali.moving.recovery import recover
from rali.moving.runs import apply_plan, read_run, undo
from rali.photos.scan import JOURNAL_NAME, Scan

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import faults  # noqa: E402
from faults import FaultyFs, FaultyNoLinksFs, NoLinksFs, dies_at, fails_at, run_in_child  # noqa: E402

OTHER_DEVICE = Path("/dev/shm")
STEMS: tuple[bytes, ...] = (
    *(b"IMG_1", b"IMG_1 (1)", b"img_1", b"IMG.1.2", b"-rf", b"a b", b"x\ny", b"*[?]", b"'\"$(x)"),
    *(b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xe9t\xe9", b"\xff\xfe", b"\xf0\x9f\x93\xb7", b"n" * 240, b"\xe9" * 236),
)
COMPANIONS = (b".cr3", b".xmp", b".jpg.xmp", b".cr3.xmp", b".aae", b".mov")
FOLDERS = (b"", b"day 1", b"day 1/\xe9", b"\xe6\x97\xa5/deep/er", b"IMG_1.jpg.d")
SIZES = (0, 1, 1, 700, 5000, 5000, 70_000, 70_000, 1_200_000)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EXDEV, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.EEXIST)
FAULTS = ("", "step", "step", "call", "call", "error", "error for ever", "other program")
SYSTEM_CALLS = {"open", "close", "write", "fsync", "link", "unlink", "rename", "mkdir", "rmdir", "chmod", "utime"}
SYSTEM_CALLS |= {"setxattr", "execute", "executemany"}


Work = Callable[[Catalog, Fs], object]


class FoundError(Exception):
    """What a round has broken."""


def main() -> None:
    """Soak for a while, or repeat one round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of the one round to do")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        sys.exit(0 if one_round(arguments.seed, Counter()) else 1)
    found = soak(random.Random(), until_s=time.monotonic() + 60 * arguments.minutes)
    print(", ".join(f"{count:,} {outcome}" for outcome, count in found.most_common()))
    sys.exit(1 if found["findings"] else 0)


def soak(rng: random.Random, *, until_s: float) -> Counter[str]:
    """Do rounds until the time is up; count what happened in them, and the ``findings``."""
    happened: Counter[str] = Counter()
    while time.monotonic() < until_s:
        happened["rounds"] += 1
        happened["findings"] += not one_round(rng.getrandbits(32), happened)
    return happened


def one_round(seed: int, happened: Counter[str]) -> bool:
    """Do one round; tell if all held. Otherwise say what did not, and keep its folders."""
    this = Round(seed, happened)
    try:
        this.go()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
        reason = str(error) if isinstance(error, FoundError) else traceback.format_exc()
        print(
            f"FOUND, seed {seed} ({this.kind}): {reason}\n  " + "\n  ".join(_short(step) for step in this.steps),
            flush=True,
        )
        print(f"  kept: {this.folder} {this.to or ''}", flush=True)
        return False
    for folder in filter(None, (this.folder, this.to)):
        shutil.rmtree(folder)
    return True


class Round:
    """One folder of photos and what is done to it."""

    def __init__(self, seed: int, happened: Counter[str]) -> None:
        self.rng = random.Random(seed)
        self.happened = happened
        self.steps: list[str] = []
        devices = [Path(tempfile.gettempdir()).resolve()]
        if os.access(OTHER_DEVICE, os.W_OK) and OTHER_DEVICE.stat().st_dev != devices[0].stat().st_dev:
            devices.append(OTHER_DEVICE)
        self.rng.shuffle(devices)
        other = len(devices) > 1 and self.rng.random() < 0.5
        prefix = f"rali-soak-{seed}-"
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=devices[0]))
        self.to = Path(tempfile.mkdtemp(prefix=prefix, dir=devices[1])) if other else None
        self.root = self.folder / "photos"
        self.db = self.folder / "catalog.db"
        self.other_db = self.folder / "other.db"
        self.links = self.rng.random() < 0.6
        # Copies leave the originals: then nothing at all may change under the root.
        self.mode: Mode = self.rng.choices(("move", "copy", "hardlink"), (8, 1, 1))[0]
        self.kind = f"{self.mode}, {'other' if other else 'same'} device, {'' if self.links else 'no '}hard links"
        self.quarantine = self.to or self.root.parent / ".rali-quarantine"
        self.shots: list[tuple[Path, list[str]]] = []
        self.expected: Counter[bytes] = Counter()
        # By a purge or by "another program": then not all can be as it was.
        self.meddled = False
        self.may_double = False
        self.scoring = Scoring(1, "", "", "", 0, 100)

    def go(self) -> None:
        """Make the files, do a few things to them, bring all back and compare."""
        self._make_shots()
        pristine = faults.tree(self.root)
        self.expected = self._contents()
        for _ in range(self.rng.randint(2, 7)):
            self.rng.choice(
                (self._cull, self._cull, self._two_culls, self._undo, self._undo, self._purge, self._meddle)
            )()
            self.check()
        if self.rng.random() < 0.2:
            self._lose_the_catalog()
        for db in (self.db, self.other_db):
            self.db = db
            for run in self._runs():
                self._say(f"at last, undo {run.name} of {db.name}")
                self._attempt(partial(_undo_run, run), faulty=False)
        self.check()
        if not self.meddled and not self.may_double and faults.tree(self.root) != pristine:
            raise FoundError(f"not as it was: {_difference(pristine, faults.tree(self.root))}")

    # --- what is done ---------------------------------------------------------------------------------------

    def _cull(self) -> None:
        plan = self._plan()
        if self.rng.random() < 0.3:
            save_plan(plan, self.folder / "plan.json")
            if load_plan(self.folder / "plan.json") != plan:
                raise FoundError("a plan is another after it was saved and loaded")
        self._say(f"cull {_names(plan)}")
        self._attempt(partial(_apply, plan, self.mode, self.to))

    def _two_culls(self) -> None:
        """Cull in two processes at once, of which one may die; they may have a catalog each."""
        plans = self._plan(), self._plan()
        db = self.rng.choice((self.db, self.other_db))
        # Of two catalogs none knows what the other has begun: a photo may lie in both runs then, never in none.
        self.may_double = self.may_double or db == self.other_db
        self._say(f"cull with {db.name} {_names(plans[1])}, at once with {_names(plans[0])}")
        child = os.fork()
        if child == 0:
            fs = Fs() if self.links else NoLinksFs()
            os._exit(run_in_child(lambda: self._work(db, partial(_apply, plans[1], self.mode, self.to), fs)))
        try:
            self._one_process(partial(_apply, plans[0], self.mode, self.to), faulty=True)
        finally:
            _, status = os.waitpid(child, 0)
        if status:
            raise FoundError(f"the other process ended with {os.waitstatus_to_exitcode(status)}")
        self._attempt(partial(_apply, plans[0], self.mode, self.to), faulty=False)

    def _undo(self) -> None:
        runs = self._runs()
        if runs:
            run = self.rng.choice(runs)
            only = self.rng.choice((None, None, "*1*", "day 1/*", "*.xmp", "*\udce9*"))
            self._say(f"undo {run.name} --only {only!r}")
            self._attempt(lambda catalog, fs: undo(catalog, run, only=only, fs=fs))

    def _purge(self) -> None:
        """Delete what a run holds; what "the user" has changed in it must stay."""
        runs = [run for run in self._runs() if run.mode == self.mode]
        if not runs or self.rng.random() < 0.5:
            return
        run = self.rng.choice(runs)
        moves = self._moves(run, MoveState.AWAY)
        deleted_before = len(self._moves(run, MoveState.DELETED))
        held = [Path(move.destination) for move in moves if os.path.exists(move.destination)]
        changed = self.rng.choice(held) if held and self.rng.random() < 0.4 else None
        if changed is not None:
            changed.write_bytes(changed.read_bytes() + b"edited")
            self.expected = self._contents()
        self._say(f"purge {run.name}, having changed {changed}")
        self.meddled = True
        self._attempt(lambda catalog, fs: purge(catalog, run, fs=fs), deletes=True)
        if changed is not None and not changed.exists():
            raise FoundError(f"purged although it had changed: {changed}")
        gone = self.expected - self._contents()
        deleted = len(self._moves(run, MoveState.DELETED)) - deleted_before
        if self.mode == "move" and not self.may_double and deleted != gone.total():
            raise FoundError(f"purged {gone.total()} files, and journalled {deleted}")
        self.expected -= gone

    def _meddle(self) -> None:
        """Do as another program might: save a file under a name whose own file is away."""
        missing = [folder / name for folder, names in self.shots for name in names if not (folder / name).exists()]
        if missing and self.mode == "move":
            self._save_at(self.rng.choice(missing))

    def _save_at(self, path: Path) -> None:
        self._say(f"another program saves {str(path)!r}")
        self.meddled = True
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rng.randbytes(500))
        self.expected[_hash(path)] += 1

    def _lose_the_catalog(self) -> None:
        self._say("the catalog is lost")
        self.meddled = True  # of shots that left long ago, the journals of later runs know more
        for file in self.folder.glob("*.db*"):
            file.unlink()
        for journal in sorted(self.quarantine.glob(f"*/{JOURNAL_NAME}")):
            self._attempt(partial(_read_run, journal), faulty=False)

    # --- and how it goes wrong ------------------------------------------------------------------------------

    def _attempt(self, work: Work, *, faulty: bool = True, deletes: bool = False) -> None:
        """Do something in a process that may die or meet errors; then recover, which may die, too; then for good."""
        self._one_process(work, faulty=faulty)
        if not deletes:
            self._nothing_lost()
        if faulty and self.rng.random() < 0.15:
            self._meddle()
        while faulty and self.rng.random() < 0.3:
            self._say("recover")
            self._one_process(lambda catalog, fs: recover(catalog, fs=fs), faulty=True)
        self._one_process(lambda catalog, fs: recover(catalog, fs=fs), faulty=False)

    def _one_process(self, work: Work, *, faulty: bool) -> None:
        fs: Fs = Fs() if self.links else NoLinksFs()
        calls = 0
        what = self.rng.choice(FAULTS if self.mode == "move" else FAULTS[:-1]) if faulty else ""
        number = int(2 ** self.rng.uniform(0, 9))
        error = self.rng.choice(ERRORS)
        if what == "step":
            fs = dies_at(number)
        elif what == "call":
            calls = number
        elif what == "other program":
            fs = FaultyFs(self._moves_a_file_at(number // 4))
            self.meddled = True
            self.may_double = self.may_double or self.to is not None  # a copy stays where its original is gone
        elif what:
            fs = fails_at(max(1, number // 2), error, forever="ever" in what)
        if not self.links and not isinstance(fs, NoLinksFs):
            fs.__class__ = FaultyNoLinksFs
        if what:
            self.steps[-1] += f" [{what} {number} {errno.errorcode[error] if 'error' in what else ''}]"

        code = run_in_child(lambda: self._work(self.db, work, fs, dies_at_call=calls))
        outcome = {0: "finished", faults.KILLED: "killed"}.get(code)
        if outcome is None:
            raise FoundError(f"a process ended with {code}")
        self.happened[outcome] += 1

    def _moves_a_file_at(self, number: int) -> Callable[[int, str], None]:
        """Return what moves a file of ours to another folder at a step, as another program might at any time."""
        folder, names = self.rng.choice(self.shots)
        source = folder / self.rng.choice(names)
        target = self.root / "elsewhere" / str(len(self.steps))

        def at_step(step: int, _: str) -> None:
            if step == number and source.exists() and not target.exists():
                target.parent.mkdir(exist_ok=True)
                source.rename(target)

        return at_step

    def _work(self, db: Path, work: Work, fs: Fs, *, dies_at_call: int = 0) -> None:
        with Catalog(db) as catalog, suppress(RaliError):
            die_at_call(dies_at_call)
            work(catalog, fs)

    # --- what must hold -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check everything that must hold while no process is at work."""
        self._nothing_lost()
        if self.mode == "move" and not self.may_double and (more := self._contents() - self.expected):
            raise FoundError(f"doubled: {_paths_of(more, self.root, self.quarantine)}")
        partials = [path for folder in (self.root, self.quarantine) for path in folder.rglob(".rali-partial*")]
        if partials:
            raise FoundError(f"left behind: {partials}")
        for db in (self.db, self.other_db):
            if db.exists():
                with Catalog(db) as catalog:
                    self._check_journal(Journal(catalog))
        if not self.meddled and not self.other_db.exists():
            with Catalog(self.db) as catalog:
                self._check_rankings(catalog)
        if not self.meddled and not self.may_double:
            for folder, names in self.shots:
                if len({(folder / name).exists() for name in names}) > 1:
                    raise FoundError(f"torn: {folder} {names}")

    def _check_journal(self, journal: Journal) -> None:
        if journal.unfinished():
            raise FoundError(f"unfinished: {journal.unfinished()}")
        for run in journal.runs():
            for move in (move for shot in journal.moves(run, *MoveState) for move in shot):
                if move.state in (MoveState.LEAVING, MoveState.RETURNING, MoveState.DELETING):
                    raise FoundError(f"open: {move}")
                if move.state is MoveState.AWAY and not os.path.exists(move.destination):
                    raise FoundError(f"not where the journal says: {move}")

    def _check_rankings(self, catalog: Catalog) -> None:
        """Check that what is here is listed, with the inode and time that it has, and what is away is not."""
        for folder, _ in self.shots:
            for name, known in catalog.contents_in(str(folder)).items():
                path = folder / name
                if known.listed != path.exists():
                    raise FoundError(f"{path} is {'there' if path.exists() else 'away'}, and listed {known.listed}")
                if known.listed and (known.inode, known.mtime_ns) != (path.stat().st_ino, path.stat().st_mtime_ns):
                    raise FoundError(f"{path} came back, and the catalog knows another")

    def _nothing_lost(self) -> None:
        found = self._contents()
        if lost := self.expected - found:
            raise FoundError(f"lost {lost.total()} files")
        if self.mode != "move" and found != self.expected:
            raise FoundError("a copy has changed the originals")

    def _contents(self) -> Counter[bytes]:
        if self.mode != "move":
            return faults.contents(self.root)
        return faults.contents(self.root, self.quarantine)

    # --- helpers --------------------------------------------------------------------------------------------

    def _make_shots(self) -> None:
        taken: set[Path] = set()
        for _ in range(self.rng.randint(1, 12)):
            folder = self.root / os.fsdecode(self.rng.choice(FOLDERS))
            stem = self.rng.choice(STEMS)
            suffixes = [b".jpg", *self.rng.sample(COMPANIONS, self.rng.choice((0, 0, 1, 2, 4)))]
            names = [os.fsdecode(stem + suffix) for suffix in suffixes]
            paths = {folder / name for name in names}
            if paths & taken:
                continue
            taken |= paths
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths:
                path.write_bytes(self.rng.randbytes(self.rng.choice(SIZES)))
                os.utime(path, ns=(self.rng.getrandbits(60), self.rng.getrandbits(60)))
                path.chmod(self.rng.choice((0o644, 0o444, 0o600)))
            self.shots.append((folder, names))
        self.scoring = fill_catalog(self.db, list(Scan([str(self.root)])))

    def _plan(self) -> CullPlan:
        """Plan some of the shots that are here."""
        here = [(folder, names) for folder, names in self.shots if all((folder / name).exists() for name in names)]
        planned = []
        for folder, names in self.rng.sample(here, self.rng.randint(0, len(here))):
            files = []
            for name in names:
                info = (folder / name).lstat()
                files.append(ShotFile(name, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))
            planned.append(PlannedShot(str(self.root), str(folder), tuple(files), 10.0, 1.0, "score below 40"))
        return CullPlan((str(self.root),), "score below 40", self.scoring, tuple(planned), (), len(planned), {})

    def _runs(self) -> list[RunRecord]:
        """Return the runs that hold files, the last one first."""
        if not self.db.exists():
            return []
        with Catalog(self.db) as catalog:
            return [run for run in Journal(catalog).runs() if run.away]

    def _moves(self, run: RunRecord, state: MoveState) -> list[MoveRecord]:
        with Catalog(self.db) as catalog:
            return [move for shot in Journal(catalog).moves(run, state) for move in shot]

    def _say(self, step: str) -> None:
        self.steps.append(step)


def die_at_call(number: int) -> None:
    """Make this process die before or after a call of the system or of SQLite, counted from now; 0: not at all."""
    if not number:
        return
    left = number

    def profile(_: object, event: str, function: object) -> None:
        nonlocal left
        if event in ("c_call", "c_return") and getattr(function, "__name__", "") in SYSTEM_CALLS:
            left -= 1
            if left == 0:
                os._exit(faults.KILLED)

    sys.setprofile(profile)


def _apply(plan: CullPlan, mode: Mode, to: Path | None, catalog: Catalog, fs: Fs) -> None:
    apply_plan(catalog, plan, mode=mode, to=to, fs=fs)


def _undo_run(run: RunRecord, catalog: Catalog, fs: Fs) -> None:
    undo(catalog, run, fs=fs)


def _read_run(journal: Path, catalog: Catalog, _: Fs) -> None:
    read_run(catalog, journal)


def _hash(path: Path) -> bytes:
    """Hash one file as :func:`faults.contents` does."""
    return blake2b(path.read_bytes(), digest_size=16).digest()


def _short(step: str) -> str:
    """Show a step on one line, with what is very long in its names cut."""
    return re.sub(r"(n{9}|(?:\\+udce9){3})(?:n|\\+udce9)+", r"\1...", ascii(step))


def _names(plan: CullPlan) -> list[str]:
    return [
        os.path.join(os.path.relpath(shot.folder, shot.root), file.name) for shot in plan.shots for file in shot.files
    ]


def _paths_of(hashes: Counter[bytes], *folders: Path) -> list[str]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [repr(str(path)) for path in files if _hash(path) in hashes]


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    return repr(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))


if __name__ == "__main__":
    main()
