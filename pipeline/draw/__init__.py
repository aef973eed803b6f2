"""The two networks at work: the mask found pixel by pixel, and the hidden part of the face drawn.

What happens to a drawing afterwards lives in `blend`.
"""
