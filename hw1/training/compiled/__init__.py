"""Chains of dense layers on a CPU: an epoch of a model is one call of compiled code."""
