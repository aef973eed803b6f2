"""Video in, video out: decode, detect, track, align, segment, inpaint, blend, encode."""
