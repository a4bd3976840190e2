"""From a pid to an entry: cache, then kernel maps, then procfs; what sweeps and audits correct."""
