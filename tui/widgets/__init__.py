"""One widget per file, with its styles in its DEFAULT_CSS."""
