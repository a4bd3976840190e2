"""The collector thread, and what it publishes: frames, the past, the explanation of a row."""
