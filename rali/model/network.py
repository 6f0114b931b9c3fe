"""The RALI network: an image encoder and the head that turns its embedding into one score.

Source of every formula: Zhao, Zhang et al., "Reasoning as Representation", ICLR 2026 (arXiv 2510.11369).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rali.model.clip import ClipVision, ClipVisionConfig
from rali.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig


class RaliHead(nn.Module):
    """PCA, then a softmax over cosines to prototypes, each of which carries a score.

    Shapes: E is the embedding size, D the number of principal components, K the number of prototypes.
    """

    def __init__(self, *, embedding: int, components: int, prototypes: int) -> None:
        super().__init__()
        self.pca_mean = nn.Parameter(torch.zeros(embedding))  # [E]
        self.pca_scale = nn.Parameter(torch.ones(embedding))  # [E]
        self.pca_components = nn.Parameter(torch.zeros(components, embedding))  # [D, E]
        self.prototypes = nn.Parameter(torch.zeros(prototypes, components))  # [K, D]
        self.proto_scores = nn.Parameter(torch.zeros(prototypes))  # [K]
        self.logit_scale = nn.Parameter(torch.tensor(1.0))

    def compress(self, embedding: Tensor) -> Tensor:
        """Project ``embedding`` [B, E] onto the principal components: [B, D]."""
        scaled = (embedding - self.pca_mean) / self.pca_scale.abs()  # [B, E]
        return scaled @ self.pca_components.T  # [B, D]

    def score(self, compressed: Tensor) -> Tensor:
        """Score ``compressed`` [B, D]: [B], in the range of ``proto_scores``; higher is better."""
        z = nn.functional.normalize(compressed, dim=-1)  # [B, D]
        prototypes = nn.functional.normalize(self.prototypes, dim=-1)  # [K, D]
        # tau = 1 / max(logit_scale, 1e-6), so dividing by tau is multiplying by the clamped scale.
        weights = torch.softmax(z @ prototypes.T * self.logit_scale.clamp(min=1e-6), dim=-1)  # [B, K]
        return weights @ self.proto_scores  # [B]


class RaliModel(nn.Module):
    """An encoder and a :class:`RaliHead`."""

    def __init__(self, encoder: nn.Module, head: RaliHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Score normalised pictures.

        Args:
            pixels: float [B, 3, H, W], normalised as the bundle's preprocessing says.

        Returns:
            Scores [B] and compressed embeddings [B, D], both in the head's dtype. The head runs in its own dtype
            whatever the encoder's: it is a thousandth of the work and half of the rounding error.
        """
        embedding = self.encoder(pixels).to(self.head.pca_mean.dtype)  # [B, E]
        compressed = self.head.compress(embedding)  # [B, D]
        return self.head.score(compressed), compressed


def build_model(architecture: Mapping[str, Any]) -> RaliModel:
    """Make the network that a bundle's ``architecture`` describes, with uninitialised weights.

    Raises:
        ValueError: the encoder is of a kind that this version does not know, or a size is missing.
    """
    encoder_spec = dict(architecture["encoder"])
    kind = encoder_spec.pop("kind")
    encoder: nn.Module
    if kind == "efficientnet-lite":
        stages = tuple(tuple(int(number) for number in stage) for stage in encoder_spec["stages"])
        cut = int(encoder_spec.get("cut", EfficientNetLiteConfig.cut))  # bundles of rali 0.1's first days do not say
        config = EfficientNetLiteConfig(stages, int(encoder_spec["stem_channels"]), cut)  # type: ignore[arg-type]
        encoder, embedding = EfficientNetLite(config), config.embedding_size
    elif kind == "clip-vision":
        vision = ClipVisionConfig(**encoder_spec)
        encoder, embedding = ClipVision(vision), vision.projection
    else:
        raise ValueError(f"unknown encoder kind {kind!r}")
    head = architecture["head"]
    return RaliModel(
        encoder,
        RaliHead(embedding=embedding, components=int(head["components"]), prototypes=int(head["prototypes"])),
    )
