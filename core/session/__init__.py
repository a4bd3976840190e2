"""The collector thread and what it publishes: frames, the past, and the explanation of a row."""
