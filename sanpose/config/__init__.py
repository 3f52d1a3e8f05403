"""The configuration of an experiment: schema, composition, rules."""
