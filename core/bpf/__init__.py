"""The eBPF that is loaded on this host: programs, maps, links, what keeps them loaded, and what they cost.

Everything here reads and changes nothing: an object is opened read-only, read and closed at once, no map of
others is locked, read in batches or mapped for writing. Run times are counted only while somebody asks.
"""
