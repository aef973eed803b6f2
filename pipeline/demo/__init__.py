"""The demonstration: a public-domain portrait wearing a drawn mask, as a clip, and what the pipeline makes of it."""
