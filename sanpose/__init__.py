"""sanpose: train, sweep and report the self-attention network (SAN) for 2D and 3D human pose."""

__version__ = "0.1.0"
