"""Activation functions by name."""

from torch import nn

from hw1.errors import choose

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_layer(name: str) -> nn.Module:
    """A new activation layer; an unknown name is an `InputError`."""
    return ACTIVATIONS[choose("activation", name, ACTIVATIONS)]()
