"""A trained network together with its normalization: raw inputs in, predictions out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hw1.datasets.dataset import per_feature
from hw1.training.augmentation import Views, seen
from hw1.training.lockstep import Lockstep

CHUNK = 512
"""Examples per batch, which bounds the memory."""


class Network(nn.Module):
    """A network that takes inputs as the data has them.

    Attributes:
        network: the plain network of its model class, which takes normalized inputs.
        input_mean, input_std: in the shape that `hw1.datasets.dataset.per_feature` gives them.
        target_mean, target_std: ``(n_outputs,)``; zero and one for classes.
        views: of images, over which outputs are averaged; see `hw1.training.augmentation`.
    """

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        network: nn.Module,
        input_mean: Tensor,
        input_std: Tensor,
        target_mean: Tensor,
        target_std: Tensor,
        *,
        views: Views = "one",
    ) -> None:
        super().__init__()
        self.network = network
        self.views: Views = views
        self.register_buffer("input_mean", input_mean)
        self.register_buffer("input_std", input_std)
        self.register_buffer("target_mean", target_mean)
        self.register_buffer("target_std", target_std)

    @classmethod
    def of(cls, models: Lockstep, i: int) -> "Network":
        """Model ``i`` of a batch, on the CPU and in evaluation mode."""
        plan = models.plan
        shape = models.dataset.input_shape
        buffers = (
            per_feature(plan.input_mean[i], shape),
            per_feature(plan.input_std[i], shape),
            plan.target_mean[i],
            plan.target_std[i],
        )
        own = [buffer.detach().clone() for buffer in buffers]
        return cls(models.model(i), *own, views=models.views[i]).cpu().eval()

    def normalize(self, inputs: Tensor) -> Tensor:
        """Inputs ``(batch, *input_shape)``, pixels or features, as `network` takes them."""
        return (inputs.to(self.input_mean.dtype) - self.input_mean) / self.input_std

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, *input_shape)`` to ``(batch, n_outputs)``.

        Predictions are in the target's own units, or logits.
        """
        views = [self.network(self.normalize(view)) for view in seen(inputs, self.views)]
        outputs: Tensor = views[0] if len(views) == 1 else torch.stack(views).mean(0)
        return outputs * self.target_std + self.target_mean


@torch.no_grad()
def predict(network: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """What a network, or what stands for one, says of many rows, `CHUNK` of them at a time.

    Args:
        network: takes ``(batch, *input_shape)``, as the data has them.
        inputs: ``(n_rows, *input_shape)``.

    Returns:
        ``(n_rows, n_outputs)``.
    """
    return torch.cat([network(rows) for rows in inputs.split(CHUNK)])
