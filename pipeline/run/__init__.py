"""A run of files: which inputs, which parts, in which order, and what is reported of it.

The parts come from the rooms below; what belongs to one part alone belongs in that part's room.
"""
