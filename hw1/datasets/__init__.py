"""Data sets as tensors in memory. Each module offers ``load(part, data_dir)``, a `Loader`."""

from hw1.datasets.dataset import Dataset, Loader, Part

__all__ = ["Dataset", "Loader", "Part"]
