"""What a sweep is to decide: its claims, what is decided by now, and which cells get another seed.

Knows points, seeds and figures; does not know runs, their records, or how they are trained.
"""
