"""Turns bytes from outside into text that is safe to show, without secrets; formats numbers with units."""
