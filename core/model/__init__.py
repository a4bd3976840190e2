"""The records that layers pass to each other; they import nothing else of the program but core.text."""
