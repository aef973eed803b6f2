"""Who is who: embedding faces, remembering people, and choosing whose masks come off.

The recognisers themselves are files in `pipeline/recognisers`.
"""
