"""`python -m sanpose.tune`: the same as `sanpose tune`."""

import sys

from sanpose.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "tune")
    main()
