"""The report as one self-contained page, index.html, with the pictures as files beside it."""
