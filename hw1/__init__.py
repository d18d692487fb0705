"""Cross-validated hyperparameter studies of PyTorch networks, trained in lockstep."""

__version__ = "0.1.0"
