"""`python -m cluster.join FOLDER`: the door of `cluster.raycluster.join`, which the scripts of jobs name."""

import sys

from cluster.raycluster.join import main

if __name__ == "__main__":
    sys.exit(main())
