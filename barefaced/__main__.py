"""`python -m barefaced` is the command `barefaced`."""

import sys

from cli import main

sys.exit(main())
