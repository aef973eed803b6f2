"""One file each: a backend's name is its module's name."""
