"""Readers: each turns a data set's folder, as people have it on disk, into a `Listing` without touching a pixel."""
