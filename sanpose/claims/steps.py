"""The six steps of the paper's Table 1, each a claim: the later cell is better than the earlier cell."""

STEPS = (
    ("b", "c", "SAN, shallow network"),
    ("f", "g", "SAN, deep network"),
    ("a", "b", "2D data: MPII"),
    ("c", "d", "2D data: COCO"),
    ("d", "e", "input size, with flip test"),
    ("e", "g", "depth"),
)
"""Earlier cell, later cell, and what the step adds."""
