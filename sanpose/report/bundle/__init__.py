"""A sweep's records and tables as one artefact that others can check. Knows records and tables, not networks."""
