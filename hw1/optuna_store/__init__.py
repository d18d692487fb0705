"""Optuna's storage, and whatever else depends on the private parts of Optuna and its dashboard."""
