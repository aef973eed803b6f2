"""How the networks we ship were made. Never imported by `pipeline` or `engine`."""
