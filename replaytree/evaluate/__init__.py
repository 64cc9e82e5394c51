"""Training: every prefix of a path scored on validation images."""
