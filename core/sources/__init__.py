"""Sources of records: the loaded probe, /proc, a recording."""
