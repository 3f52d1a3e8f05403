"""The tables of the report, a module for each; each module makes `Table` values from runs and published numbers."""
