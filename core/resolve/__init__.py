"""Resolves a pid to an entry: cache, then kernel maps, then procfs; sweeps and audits correct the cache."""
