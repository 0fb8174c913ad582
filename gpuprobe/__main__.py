"""``python -m gpuprobe``: the command line."""

import sys

from gpuprobe.cli import main

sys.exit(main())
