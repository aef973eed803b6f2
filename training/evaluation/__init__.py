"""How good the drawn faces are: photos, measures, the product's own path, baselines and ablations.

Recognition is measured in `identity`.
"""
