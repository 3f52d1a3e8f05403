"""The report's pictures: functions from records to matplotlib Figures; only `files` turns a Figure into a file."""
