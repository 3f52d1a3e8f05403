"""Uses of a trained network: predictions on images, export, the relationship of joints.

Knows runs' folders and checkpoints; does not know how a network is trained, nor Ray.
"""
