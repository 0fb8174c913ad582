"""``python -m gpuprobe.cli``: the same as the installed ``gpuprobe``."""

import sys

from gpuprobe.cli import main

sys.exit(main())
