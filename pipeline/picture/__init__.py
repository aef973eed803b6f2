"""Pixels: their formats, planes and colours, and reading faces and thumbnails from them.

What knows a file or a stream lives in `video`; what knows a drawn face lives in `blend`.
"""
