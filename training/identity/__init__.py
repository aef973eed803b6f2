"""The Embedding Unmasking Model: recognising people who wear masks, trained and measured.

After Boutros et al., "Self-restrained triplet loss for accurate masked face recognition", arXiv 2103.01716.
"""
