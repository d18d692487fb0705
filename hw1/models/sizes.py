"""Checks of the sizes that networks are built from."""

from collections.abc import Sequence

from hw1.errors import ArchitectureError


def check_sizes(least: int, **sizes: int) -> None:
    """Raise an `ArchitectureError` that names the first size below ``least``."""
    for name, size in sizes.items():
        if size < least:
            raise ArchitectureError(f"{name} must be at least {least}, not {size}")


def image_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    """``input_shape`` as ``(channels, height, width)``.

    Raises:
        ArchitectureError: the inputs are not images.
    """
    if len(input_shape) != 3:
        raise ArchitectureError(
            f"a convolutional network needs images (channels, height, width), not inputs of shape "
            f"{tuple(input_shape)}"
        )
    channels, height, width = input_shape
    return channels, height, width
