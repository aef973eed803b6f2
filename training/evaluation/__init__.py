"""How good the drawn faces are: the measures, the product's own path, baselines and ablations.

Recognition is measured in `identity`.
"""
