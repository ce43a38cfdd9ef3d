"""`python -m shakedown`."""

import sys

from shakedown.cli import main

sys.exit(main())
