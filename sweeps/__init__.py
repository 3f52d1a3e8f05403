"""Choosing runs and keeping their records: identity, provenance, the ledger. Knows trials, not poses or machines."""
