"""What is too long for every test run: the slow tests, then a soak of moves and fuzzing of the decoders.

    python scripts/nightly.py --minutes 60

Half of the time goes to ``soak_moves.py``: culls, undos and purges that are killed or fail at random; what is found
is printed with the seed that repeats it. In the other half, files of every format are damaged at random and decoded,
each in a worker that may die. Anything but a picture or a :class:`~rali.errors.PhotoError` is a finding: the file that
caused it is kept in ``fuzz-findings/``.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rali.model.preprocess import Preprocessing
from rali.prepare import Failure, Prepared, Preparer
from rali.workers import WorkerLost, WorkerPool, default_workers
from soak_moves import soak

ROOT = Path(__file__).resolve().parents[1]
FINDINGS = ROOT / "fuzz-findings"
LIMIT_PX = 20_000_000


def main() -> None:
    """Run the slow tests, then soak and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to soak and to fuzz, together")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="printed, to repeat a run")
    parser.add_argument("--fuzz-only", action="store_true", help="leave out the slow tests")
    arguments = parser.parse_args()
    if not arguments.fuzz_only:
        subprocess.run([sys.executable, "-m", "pytest", "-m", "slow", "--timeout", "900"], cwd=ROOT, check=True)
    print(f"seed {arguments.seed}", flush=True)
    rng = random.Random(arguments.seed)
    soaked = soak(rng, until_s=time.monotonic() + 30 * arguments.minutes)
    print("moves:", ", ".join(f"{count:,} {outcome}" for outcome, count in soaked.most_common()), flush=True)
    found = fuzz(rng, until_s=time.monotonic() + 30 * arguments.minutes)
    print("decoders:", ", ".join(f"{count:,} {outcome}" for outcome, count in found.most_common()))
    sys.exit(1 if found["lost"] or soaked["findings"] else 0)


def fuzz(rng: random.Random, *, until_s: float) -> Counter[str]:
    """Decode damaged files until the time is up; count what became of them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from make_images import every_format

    seeds = [data for _, data in every_format().values()] + [path.read_bytes() for path in ROOT.glob("samples/*.jpg")]
    preparer = Preparer(Preprocessing(64, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), "exact", LIMIT_PX)
    found: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        WorkerPool(preparer, workers=default_workers(), timeout_s=60) as pool,
    ):

        def damaged_files() -> Iterator[str]:
            number = 0
            while time.monotonic() < until_s:
                path = Path(folder) / f"{number}.jpg"
                path.write_bytes(damaged(rng.choice(seeds), rng))
                number += 1
                yield str(path)

        for file, result, _ in pool.run(damaged_files(), lambda: False):
            if isinstance(result, WorkerLost):
                FINDINGS.mkdir(exist_ok=True)
                Path(file).rename(FINDINGS / f"{int(time.time())}-{Path(file).name}")
                found["lost"] += 1
                continue
            outcome = result.kind.value if isinstance(result, Failure) else "decoded"
            assert isinstance(result, Failure | Prepared)
            found[outcome] += 1
            Path(file).unlink()
    return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double or overwrite a few places."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(changed))
        length = min(rng.choice((1, 1, 2, 4, 64)), len(changed) - at)
        match rng.randrange(5):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + length] = rng.choice((b"\0", b"\xff")) * length
            case 2:
                changed[at : at + length] = rng.randbytes(length)
            case 3:
                changed[at:at] = changed[at : at + length]
            case _:
                del changed[max(at, 1) :]
    return bytes(changed)


if __name__ == "__main__":
    main()
