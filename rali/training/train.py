"""Train a model on photos that the user has rated: from a list of scores to a bundle, with what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rali.agreement import Agreement, measure
from rali.config import Settings, models_folder
from rali.errors import EvaluationError, UnsafeError, UsageError
from rali.evaluate import Labels
from rali.model.bundle import BundleInfo, load_tensors
from rali.model.registry import find_model, log_path
from rali.model.ways import available_device
from rali.prepare import Failure
from rali.training.bundles import Target, has_words, scale_of, write_trained
from rali.training.kept import Log, make_folder, name_of
from rali.training.materials import Chosen, Floats, Materials, Step, Watched
from rali.training.rated import HELD_OUT, Rated, RatedPhoto, drawn_out, rated_photos, require_rated, shown

if TYPE_CHECKING:
    from torch import nn

    from rali.model.network import RaliHead
    from rali.training.score import HeadTuning, Start, Trial, Views

# A change of anything in rali/training/ that changes a result needs a new number: a checkpoint goes by it.
TRAINING_VERSION = 1
FOLDS = 5
_CHOOSING = 0.15  # of the photos that an encoder learns from: held back to choose how much of it to take

KEPT_HEAD, NEW_HEAD = "kept head", "new head"


@dataclass
class Trained:
    """What came of training.

    Attributes:
        target: where the model is to be.
        base: what it started from.
        info: the bundle; None where the model is worse than ``base`` and was not stored.
        photos: how many were learnt from or held out.
        held_out: how many of them were held out.
        failed: names of photos that could not be used, with the reason.
        before, after: agreement with people on the held-out photos, of ``base`` and of the model; None where all
            photos get one score.
        notices: what the user should know, a line each.
        log: where every figure stands.
    """

    target: Target
    base: BundleInfo
    info: BundleInfo | None = None
    photos: int = 0
    held_out: int = 0
    failed: list[tuple[str, Failure]] = field(default_factory=list)
    before: Agreement | None = None
    after: Agreement | None = None
    notices: list[str] = field(default_factory=list)
    log: Path = Path()

    @property
    def worse(self) -> bool:
        """Whether the model ranks the held-out photos worse than what it started from."""
        after, before = (-1.0 if a is None else a.srcc.value or -1.0 for a in (self.after, self.before))
        return after < before


def train(
    labels: Labels,
    target: Target,
    settings: Settings,
    *,
    encoder: bool = False,
    epochs: int = 8,
    seed: int = 0,
    even_if_worse: bool = False,
    on_step: Callable[[Step], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Fine-tune the model of ``settings`` on rated photos and store what comes of it as ``target``.

    A fifth of the photos is held out, learns nothing and tells what the model is worth. What the head starts from, the
    old one or one made anew by PCA and k-means, and for how long it is tuned, is chosen by cross-validation on the
    others. The catalog is neither read nor written.

    Args:
        encoder: fine-tune the encoder too, for ``epochs``.
        even_if_worse: store a model that is worse than what it started from.
        on_step: told how far it is.
        stop: asked often; once it is true, :class:`Stopped` is raised, and the next run goes on from there.

    Raises:
        Stopped: as asked for.
        EvaluationError: the photos are too few, or their scores do not differ.
        UsageError: the model's encoder cannot be fine-tuned.
        UnsafeError: another training is at work.
        ModelError, DeviceError, WorkersError: see :mod:`rali.errors`.
    """
    base = find_model(settings.model)
    if encoder and base.architecture["encoder"]["kind"] != "efficientnet-lite":
        raise UsageError(f"--encoder is for models like mini, and {base.name} has another encoder: leave it out")
    on_step(Step("Looking", 0, 0))
    rated = rated_photos(labels)
    require_rated(rated.photos)
    folder = make_folder(models_folder() / "training")
    with _alone(folder):
        watched = Watched(on_step, stop, Log(folder / f"{target.name}.log"))
        trained = Trained(target, base, failed=list(rated.failed), log=watched.log.path)
        _train(
            trained,
            rated,
            settings,
            folder,
            watched,
            epochs=epochs if encoder else 0,
            seed=seed,
            even_if_worse=even_if_worse,
        )
    return trained


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise UnsafeError(f"another rali train is at work in {folder}: wait for it, or end it") from error


def _train(
    trained: Trained,
    rated: Rated,
    settings: Settings,
    folder: Path,
    watched: Watched,
    *,
    epochs: int,
    seed: int,
    even_if_worse: bool,
) -> None:
    from rali.training.embed import load_model
    from rali.training.encoder import kept_tensors
    from rali.training.score import predictions, rescaled

    base, log = trained.base, watched.log
    log(f"rali train: from {base.name} ({base.model_id}), seed {seed}, {epochs} epochs of the encoder")
    device = available_device(settings.device)
    model = load_model(base, device)
    materials = Materials(model, base, settings, folder, device, with_pixels=epochs > 0)
    photos = materials.gather(rated.photos, trained.failed, watched)
    require_rated(photos)
    given = np.array([photo.score for photo in photos])
    scale = scale_of(given, base)
    scores = scale.to_percent(given)  # [P], 0 to 100
    held_out = drawn_out(scores, HELD_OUT, seed=seed)
    trained.photos, trained.held_out = len(photos), int(held_out.sum())
    log(f"{len(photos)} photos and {rated.copies} copies, {trained.held_out} held out; {scale.low:g} to {scale.high:g}")
    for line in shown(trained.failed):
        log(f"left out: {line}")
    tested = materials.plain(photos, held_out)  # [T, E]
    trained.before = agreement_of(given[held_out], predictions(model.head, tested))
    log(f"before: {figures(trained.before)}")

    learnt, choosing = ~held_out, np.zeros(len(photos), bool)
    if epochs:
        choosing[learnt] = drawn_out(scores[learnt], _CHOOSING, seed=seed + 1)
        learnt = learnt & ~choosing
    start, head = _tuned_head(model.head, materials.views(photos, scores, learnt), watched, seed=seed)
    tensors = {name: tensor for name, tensor in load_tensors(base).items() if name.startswith("encoder.")}
    changed = start == NEW_HEAD
    if epochs:
        own, head = _tuned_encoder(materials, photos, scores, learnt, choosing, head, watched, epochs=epochs, seed=seed)
        if own is None:
            trained.notices.append(
                "The encoder gains nothing on photos that it did not learn from: it stays as it was."
            )
        else:
            tensors, changed = kept_tensors(own), True
            tested = materials.embed_plain(own, photos, held_out)
    trained.after = agreement_of(given[held_out], predictions(head, tested))
    log(f"after: {figures(trained.after)}")
    if _rank_alike(trained.before, trained.after):
        trained.notices.append(f"Nothing was gained: the new model ranks photos as {base.name} does.")
    if trained.worse and not even_if_worse:
        return
    words = has_words(base)
    if words and changed:
        trained.notices.append(
            f"The words of {base.name} do not fit the new model and are left out: it never says why."
        )
    trained.info = write_trained(
        trained.target,
        base,
        tensors,
        rescaled(head, (scale.high - scale.low) / 100, scale.low),
        scale=scale,
        photos=len(photos) - trained.held_out,
        words=words and not changed,
    )
    log(f"stored as {trained.info.path}, model {trained.info.model_id}")
    trained.log = log_path(trained.target.path)
    log.move_to(trained.log)
    materials.clear()


def ways_to_start(base: RaliHead, photos: int, *, seed: int) -> dict[str, tuple[Start, HeadTuning]]:
    """Return what a head for so many ``photos`` can start from, each with how to fine-tune it.

    The old head with its PCA as it is does better where photos are few, one made of the photos where they are many.
    """
    from rali.training.compress import Compression, compress
    from rali.training.score import PROTOTYPES_ALONE, HeadTuning, fitted_to

    compression = Compression.suited_to(photos, base.pca_mean.shape[0])
    # Where photos are few, cross-validation ends it early; 743 of them want 600 steps at 3e-4.
    tuning = HeadTuning(most_steps=max(200, min(600, photos // 25 * 25)), learning_rate=1e-3)

    def kept(views: Views) -> RaliHead:
        return fitted_to(base, views)

    def new(views: Views) -> RaliHead:
        return compress(views.embeddings, views.scores, compression, seed=seed)

    return {KEPT_HEAD: (kept, replace(tuning, rates=PROTOTYPES_ALONE)), NEW_HEAD: (new, tuning)}


def _tuned_head(base: RaliHead, views: Views, watched: Watched, *, seed: int) -> tuple[str, RaliHead]:
    """Choose by cross-validation what to start from and how long to go on; return which it is, and the tuned head."""
    from rali.training.score import try_out, tuned_head

    ways = ways_to_start(base, len(np.unique(views.photos)), seed=seed)
    tell = watched.told("Fine-tuning the head", len(ways) * FOLDS)
    trials: dict[str, Trial] = {}
    for number, (name, (start, tuning)) in enumerate(ways.items()):

        def on_fold(done: int, before: int = number * FOLDS) -> None:
            tell(before + done)

        trials[name] = try_out(start, views, tuning, seed=seed, folds=FOLDS, on_fold=on_fold)
        errors = " ".join(f"{error:.1f}" for error in trials[name].errors)
        watched.log(f"{name}, cross-validated squared error every {tuning.report_every} steps: {errors}")
    best = min(trials, key=lambda name: trials[name].errors.min())
    start, tuning = ways[best]
    head = tuned_head(start, views, trials[best].steps, tuning, seed=seed)
    count, width = head.prototypes.shape
    watched.log(f"taken: {best}, {trials[best].steps} steps; {count} prototypes, {width} components")
    return best, head


def _tuned_encoder(
    materials: Materials,
    photos: Sequence[RatedPhoto],
    scores: Floats,
    learnt: Chosen,
    choosing: Chosen,
    head: RaliHead,
    watched: Watched,
    *,
    epochs: int,
    seed: int,
) -> tuple[nn.Module | None, RaliHead]:
    """Fine-tune encoder and head, and choose on the photos of ``choosing`` how much of that to take.

    Returns:
        The encoder, rounded to what a bundle keeps, and its head; None and ``head`` where there is nothing to gain.
    """
    from rali.training.encoder import EncoderTuning, between, choose_alpha, fine_tune_encoder, rounded
    from rali.training.score import predictions

    tuning, views = EncoderTuning(epochs=epochs), materials.views(photos, scores, learnt)
    tell = watched.told("Fine-tuning the encoder", 1)
    made_of = [[photo.key.hex(), photo.score] for photo, taken in zip(photos, learnt, strict=True) if taken]
    tuned = fine_tune_encoder(
        materials.encoder,
        head,
        materials.preprocessing,
        materials.loader(photos, learnt),
        views.scores,
        views.weights,
        views.photos,
        tuning,
        seed=seed,
        device=materials.device,
        checkpoint=materials.checkpoint,
        key=name_of(
            version=TRAINING_VERSION, seed=seed, tuning=asdict(tuning), photos=made_of, made_by=materials.made_by
        ),
        on_step=lambda done, total: watched.on_step(Step("Fine-tuning the encoder", done, total)),
        on_epoch=lambda epoch, loss: watched.log(f"encoder, epoch {epoch} of {epochs}: mean loss {loss:.4f}"),
        stop=watched.stop,
    )
    tell(1)
    start = (materials.encoder, head)

    def error(encoder: nn.Module, head: RaliHead) -> float:
        predicted = predictions(head, materials.embed_plain(rounded(encoder), photos, choosing))
        return float(np.square(predicted - scores[choosing]).mean())

    alpha, errors = choose_alpha(start, tuned, error)
    watched.log("; ".join(f"{share:g} of the way: squared error {found:.1f}" for share, found in errors.items()))
    if alpha == 0:
        return None, head
    return rounded(between(start[0], tuned[0], alpha)), between(head, tuned[1], alpha)


def _rank_alike(one: Agreement | None, other: Agreement | None) -> bool:
    values = [None if agreement is None else agreement.srcc.value for agreement in (one, other)]
    return values[0] == values[1]


def agreement_of(scores: Floats, predicted: Floats) -> Agreement | None:
    """Compare people's scores [T] with a model's; None where all are one, so that nothing can be compared."""
    try:
        return measure(scores.tolist(), predicted.tolist())
    except EvaluationError:
        return None


def figures(agreement: Agreement | None) -> str:
    """Put an agreement into a line."""
    if agreement is None:
        return "all photos get one score"
    return ", ".join(
        f"{name} {estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
        for name, estimate in (("SRCC", agreement.srcc), ("PLCC", agreement.plcc))
    )
