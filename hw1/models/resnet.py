"""The residual convolutional network (He et al., 2016, https://arxiv.org/abs/1512.03385)."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from hw1.errors import ArchitectureError, choose
from hw1.models.activations import activation_layer
from hw1.models.sizes import check_sizes, image_shape


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut, which is 1 × 1 where the shape changes."""

    def __init__(
        self, n_inputs: int, n_outputs: int, stride: int, activation: str, dropout: float
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(n_inputs, n_outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_outputs),
            activation_layer(activation),
            *([nn.Dropout(dropout)] if dropout > 0 else []),
            nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                # Every other pixel, then a convolution of all: the same as one with a stride, whose
                # gradient corrupts memory in oneDNN for 8 channels in odd batches.
                *([nn.AvgPool2d(1, stride)] if stride != 1 else []),
                nn.Conv2d(n_inputs, n_outputs, 1, bias=False),
                nn.BatchNorm2d(n_outputs),
            )
        self.activation = activation_layer(activation)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.activation(self.residual(inputs) + self.shortcut(inputs))
        return outputs


class ResNet(nn.Module):
    """A convolution, then stages of residual blocks, then channel means or maxima, a linear layer.

    Every stage after the first halves the image and doubles the channels.

    Args:
        input_shape: ``(channels, height, width)`` of one image.
        n_outputs: the number of outputs.
        width: the number of channels of the first stage.
        stages: the number of stages.
        blocks: the number of residual blocks in each stage.
        pooled: whether the maxima of 2 × 2 pixels follow the first convolution, so that all stages
            work on a quarter of the pixels.
        head: ``"average"`` for channel means, ``"max"`` for channel maxima.
        activation: a name in `hw1.models.activations.ACTIVATIONS`.
        dropout: the probability of dropping an element between the convolutions of a block
            (Zagoruyko and Komodakis, 2016, https://arxiv.org/abs/1605.07146).

    Raises:
        ArchitectureError: the inputs are not images, a stage has nothing left to halve, or a size
            is below one.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_outputs: int,
        *,
        width: int = 16,
        stages: int = 3,
        blocks: int = 1,
        pooled: bool = False,
        head: Literal["average", "max"] = "average",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(1, width=width, stages=stages, blocks=blocks)
        n_channels, height, width_in_pixels = image_shape(input_shape)
        before = height, width_in_pixels
        if pooled:
            height, width_in_pixels = height // 2, width_in_pixels // 2
        side = min(height, width_in_pixels)
        if side == 0:
            raise ArchitectureError(
                f"no pixel is left of {before[0]} x {before[1]} after pooling: leave pooled out"
            )
        # A strided convolution rounds up, so a side of s can be halved this often before it is 1.
        most_stages = (side - 1).bit_length() + 1
        if stages > most_stages:
            raise ArchitectureError(
                f"no pixel is left to halve of {height} x {width_in_pixels} after {most_stages} "
                f"stages: use at most {most_stages}, not {stages}"
            )
        layers: list[nn.Module] = [
            nn.Conv2d(n_channels, width, 3, padding=1, bias=False),
            *([nn.MaxPool2d(2)] if pooled else []),
            nn.BatchNorm2d(width),
            activation_layer(activation),
        ]
        n_channels = width
        for stage in range(stages):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                n_outputs_of_block = width << stage
                layers.append(
                    ResidualBlock(n_channels, n_outputs_of_block, stride, activation, dropout)
                )
                n_channels = n_outputs_of_block
        self.features = nn.Sequential(*layers)
        left = [-(-pixels // 2 ** (stages - 1)) for pixels in (height, width_in_pixels)]
        # Not AdaptiveMaxPool2d, whose gradient on a GPU is not the same each time.
        is_max = choose("head", head, ("average", "max")) == "max"
        over_pixels = nn.MaxPool2d((left[0], left[1])) if is_max else nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(over_pixels, nn.Flatten(), nn.Linear(n_channels, n_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to ``(batch, n_outputs)``."""
        outputs: Tensor = self.head(self.features(inputs))
        return outputs
