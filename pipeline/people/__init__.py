"""People told apart by their faces: embedding faces, remembering people, choosing whose masks come off.

The recognisers themselves are files in `pipeline/recognisers`.
"""
