"""The training loop: all models of a batch in lockstep, along a leading axis ``n_models``."""

from hw1.training.configuration import Configuration

__all__ = ["Configuration"]
