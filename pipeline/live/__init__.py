"""Live runs: cameras, the pace of pictures, virtual cameras, preview and keys.

A browser's camera and page live in `web`.
"""
