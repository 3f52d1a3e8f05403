"""A run on disk: identity, record, journal, checkpoints, locks. Free of torch; does not know how a run is trained."""
