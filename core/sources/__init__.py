"""Where records come from: the loaded probe, /proc, a recording."""
