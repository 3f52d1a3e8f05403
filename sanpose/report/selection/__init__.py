"""Which runs a cell of a table is made of."""
