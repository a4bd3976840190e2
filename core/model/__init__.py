"""The records that the layers hand to each other; they import nothing of the program but core.text."""
