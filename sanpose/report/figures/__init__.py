"""The report's pictures: each a function from records to a matplotlib Figure; written by `files` alone."""
