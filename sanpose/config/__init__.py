"""The configuration of an experiment: schema, composition, rules. Does not know runs."""
