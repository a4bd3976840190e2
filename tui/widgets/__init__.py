"""One widget per file, its .tcss beside it."""
