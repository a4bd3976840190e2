"""Processes as a tree of rows: order, folding, search and filter."""
