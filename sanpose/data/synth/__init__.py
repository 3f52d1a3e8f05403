"""Synthetic people: a jointed body moved by parametrised actions, rendered, and written in the data sets' own formats.

The pictures serve to try every command without a licence, and to train for minutes on two CPU cores. They are much
easier than the real data sets. Every figure measured on them is marked as synthetic.
"""
