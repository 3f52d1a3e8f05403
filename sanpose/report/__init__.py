"""The paper's tables rebuilt beside ours: from the ledger's records and the published numbers, never from memory."""
