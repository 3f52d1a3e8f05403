"""The report: the paper's tables beside our runs, from the ledger's records and the published numbers only."""
