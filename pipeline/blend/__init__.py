"""What was drawn, steadied over time and painted into the frame: hole, edge, colour, grain, paste.

Nothing here runs a network.
"""
