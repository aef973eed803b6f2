"""Stages in threads of their own, joined by bounded channels.

Nothing here knows of video, faces or settings: what flows is the caller's.
"""
