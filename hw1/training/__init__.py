"""The training loop: all models of a batch in lockstep, along a leading axis ``n_models``."""

from hw1.training.configuration import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.metrics import METRICS, Metric

__all__ = ["METRICS", "Configuration", "Lockstep", "Metric"]
