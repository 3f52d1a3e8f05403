"""Synthetic people: a jointed body moved by parametrised actions, rendered, and written in the data sets' own formats.

What the pictures are for: trying every command without a licence, and learning curves on two CPU cores. What they are
not: a stand-in for the real data sets' difficulty. Every figure from them is marked as synthetic.
"""
