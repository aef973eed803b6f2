"""`barefaced bench`: frames per second, with the machine's description."""
