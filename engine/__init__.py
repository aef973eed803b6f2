"""A compiled network: named arrays in, named arrays out. Knows nothing of faces or video."""
