"""From a network to predictions, figures with their protocols, and sample pictures.

Knows packed files, metrics and a forward pass; does not know checkpoints, runs or Ray.
"""
