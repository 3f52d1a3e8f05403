"""Measurements, each a module to run from the repository's root: python -m bench.model.softargmax."""
