"""Where faces are: detecting them, tracking them from frame to frame, and cutting them out upright.

The detectors themselves are files in `pipeline/detectors`.
"""
