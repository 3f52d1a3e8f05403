"""`python -m sanpose.train`: the same as `sanpose train`."""

import sys

from sanpose.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
