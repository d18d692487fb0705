"""Networks of one shape as one tensor program over the axis of the models."""
