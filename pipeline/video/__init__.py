"""Files in and out: opening, reading, decoding, encoding and copying streams, and pictures as files.

Everything that knows FFmpeg's containers, codecs and clocks lives here; what knows only pixels lives in `picture`.
"""
