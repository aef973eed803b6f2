"""Compiled networks: named arrays in, named arrays out. Nothing here knows of faces or video.

A backend (a file in `backends`) compiles a network (a file in `models`) into an engine; `select` chooses the backend.
"""
