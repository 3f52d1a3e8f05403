"""A run on disk: identity, record, journal, checkpoints, locks. Free of torch."""
