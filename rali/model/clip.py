"""CLIP's image tower (Radford et al., ICML 2021): the encoder of the released RALI model.

Modules are named as in Hugging Face's ``CLIPModel``, so a released checkpoint's keys need no translation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ClipVisionConfig:
    """The shape of one CLIP image tower.

    Attributes:
        hidden: width of a token.
        mlp: width inside a block's MLP.
        image_px, patch_px: side of the picture and of a patch.
        projection: length E of the embedding.
        activation: ``quick_gelu`` (OpenAI's weights) or ``gelu``.
    """

    hidden: int
    mlp: int
    layers: int
    heads: int
    image_px: int
    patch_px: int
    projection: int
    activation: str
    layer_norm_eps: float

    def __post_init__(self) -> None:
        if min(self.hidden, self.mlp, self.layers, self.heads, self.image_px, self.patch_px, self.projection) < 1:
            raise ValueError("a size of the CLIP tower is below 1")
        if self.hidden % self.heads or self.image_px < self.patch_px:
            raise ValueError("the sizes of the CLIP tower do not fit each other")
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}")

    @property
    def tokens(self) -> int:
        """Number of tokens T: one a patch, and the class token."""
        return (self.image_px // self.patch_px) ** 2 + 1


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": _quick_gelu, "gelu": functional.gelu}


class _Positions(nn.Module):
    """A table of one vector a position; nn.Embedding would draw random numbers first, which loads torch's compiler."""

    def __init__(self, positions: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(positions, hidden))


class _Embeddings(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(config.hidden))
        self.patch_embedding = nn.Conv2d(3, config.hidden, config.patch_px, stride=config.patch_px, bias=False)
        self.position_embedding = _Positions(config.tokens, config.hidden)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)  # [B, T - 1, hidden]
        first = self.class_embedding.expand(pixels.shape[0], 1, -1)  # [B, 1, hidden]
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight  # [B, T, hidden]


class _Attention(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.hidden, config.hidden)
        self.k_proj = nn.Linear(config.hidden, config.hidden)
        self.v_proj = nn.Linear(config.hidden, config.hidden)
        self.out_proj = nn.Linear(config.hidden, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, T, hidden / heads]
            for projected in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))  # [B, T, hidden]
        return output


class _Mlp(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.hidden, config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc2(self.activation(self.fc1(x)))
        return output


class _Layer(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.self_attn = _Attention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.mlp = _Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        output: Tensor = x + self.mlp(self.layer_norm2(x))
        return output


class _Encoder(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _VisionModel(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)  # the typo is part of the key
        self.encoder = _Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.encoder(self.pre_layrnorm(self.embeddings(pixels)))  # [B, T, hidden]
        pooled: Tensor = self.post_layernorm(tokens[:, 0])  # [B, hidden]
        return pooled


class ClipVision(nn.Module):
    """CLIP's image tower with its projection."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.vision_model = _VisionModel(config)
        self.visual_projection = nn.Linear(config.hidden, config.projection, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed normalised pictures, float [B, 3, image_px, image_px]: [B, E], projected, not normalised."""
        embedding: Tensor = self.visual_projection(self.vision_model(pixels))  # [B, E]
        return embedding
