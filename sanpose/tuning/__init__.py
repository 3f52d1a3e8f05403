"""Sweeps: from a definition to trials in Ray Tune, and the records of their runs."""
