"""The plain convolutional network."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from hw1.errors import ArchitectureError, choose
from hw1.models.activations import activation_layer
from hw1.models.sizes import check_sizes, image_shape

Pooling = Literal["max", "average"]
Head = Literal["flatten", "average", "max"]
PoolAfter = Literal["first", "last"]


class CNN(nn.Module):
    """Blocks of convolutions, each halving the image, and a head of linear layers.

    A block is ``convolutions`` times convolution ("same" padding), batch norm, activation, with
    pooling by 2 after the last activation or before the first batch norm; then dropout.

    Args:
        input_shape: ``(channels, height, width)`` of one image.
        n_outputs: the number of outputs.
        channels: the number of channels of each block.
        convolutions: the number of convolutions in each block.
        kernel_size: the side of every convolution's kernel; odd.
        pooling: ``"max"`` or ``"average"``.
        pool_after: the ``"first"`` or the ``"last"`` convolution of a block. After the first, the
            others see a quarter of the pixels (Jordan, 2024, https://arxiv.org/abs/2404.00498).
        batch_norm: whether convolutions are batch-normalized before their activation.
        head: ``"flatten"`` keeps all pixels of the last block, ``"average"`` its channel means,
            ``"max"`` the maxima of its channels.
        hidden: units of a hidden layer in the head; 0 for none.
        activation: a name in `hw1.models.activations.ACTIVATIONS`.
        dropout: the probability of dropping an element after each block and in the head.

    Raises:
        ArchitectureError: the inputs are not images, no pixel is left after pooling, the kernel
            size is even, or a size is below one.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_outputs: int,
        *,
        channels: Sequence[int] = (32, 64),
        convolutions: int = 1,
        kernel_size: int = 3,
        pooling: Pooling = "max",
        pool_after: PoolAfter = "last",
        batch_norm: bool = True,
        head: Head = "flatten",
        hidden: int = 0,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(
            1, channels=min(channels, default=1), convolutions=convolutions, kernel_size=kernel_size
        )
        check_sizes(0, hidden=hidden)
        n_channels, height, width = image_shape(input_shape)
        side = min(height, width)
        if side >> len(channels) == 0:
            raise ArchitectureError(
                f"no pixel is left of {height} x {width} after {len(channels)} blocks that pool "
                f"by 2: use at most {side.bit_length() - 1} blocks"
            )
        if kernel_size % 2 == 0:
            raise ArchitectureError(f"the kernel size must be odd, not {kernel_size}")
        pool = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[
            choose("pooling", pooling, ("max", "average"))
        ]
        pools_early = choose("pool_after", pool_after, ("first", "last")) == "first"
        layers: list[nn.Module] = []
        for block_channels in channels:
            for i in range(convolutions):
                layers.append(
                    nn.Conv2d(
                        n_channels,
                        block_channels,
                        kernel_size,
                        padding=kernel_size // 2,
                        bias=not batch_norm,
                    )
                )
                if pools_early and i == 0:
                    layers.append(pool(2))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(block_channels))
                layers.append(activation_layer(activation))
                n_channels = block_channels
            if not pools_early:
                layers.append(pool(2))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.features = nn.Sequential(*layers)

        layers = []
        left = height >> len(channels), width >> len(channels)
        if choose("head", head, ("flatten", "average", "max")) != "flatten":
            # Not AdaptiveMaxPool2d, whose gradient on a GPU is not the same each time.
            layers.append(nn.MaxPool2d(left) if head == "max" else nn.AdaptiveAvgPool2d(1))
            n_features = n_channels
        else:
            n_features = n_channels * left[0] * left[1]
        layers.append(nn.Flatten())
        if hidden:
            layers += [nn.Linear(n_features, hidden), activation_layer(activation)]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            n_features = hidden
        layers.append(nn.Linear(n_features, n_outputs))
        self.head = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to ``(batch, n_outputs)``."""
        outputs: Tensor = self.head(self.features(inputs))
        return outputs
