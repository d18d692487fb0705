"""A check that looking at a network changes nothing."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Assert that modes, hooks, weights, gradients and torch's generator stay as they are."""
    modes = [module.training for module in model.modules()]
    n_hooks = [len(getattr(module, hooks)) for module in model.modules() for hooks in HOOKS]
    weights = copy.deepcopy(model.state_dict())
    trained = [p.requires_grad for p in model.parameters()]
    generator = torch.get_rng_state()
    yield
    assert [module.training for module in model.modules()] == modes
    assert [len(getattr(m, hooks)) for m in model.modules() for hooks in HOOKS] == n_hooks
    assert all(torch.equal(weights[name], now) for name, now in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == trained
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.is_grad_enabled()


class Awkward(nn.Module):
    """Draws random numbers in evaluation, works in place, and is partly frozen and half trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(3 * 6 * 6, 4)
        self.train()
        self.norm.eval()
        for p in self.conv.parameters():
            p.requires_grad_(False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.act(self.norm(self.conv(inputs.mul_(1))))
        return self.head(maps.flatten(1) + torch.randn(1) * 1e-3)
