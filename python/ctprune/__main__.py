"""The program `ctprune`, and `python -m ctprune`."""

from __future__ import annotations

import sys
from errno import ENOMEM


def main() -> None:
    """Run the command line; Ctrl-C is one sentence even while its modules are being loaded."""
    try:
        from ctprune.cli import main as command_line
        from ctprune.environment.ending import leave

        try:
            command_line()
        except SystemExit as ended:
            leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
            raise
    except KeyboardInterrupt:
        # Plain, since what draws may be half loaded.
        sys.stderr.write("Error: interrupted\n")
        sys.exit(130)
    except (MemoryError, ImportError, OSError) as error:
        # What a loader says of a library for which there is no room, and what reading a folder of modules raises.
        if isinstance(error, ImportError) and "failed to map segment" not in str(error):
            raise
        if isinstance(error, OSError) and error.errno != ENOMEM:
            raise
        sys.stderr.write("Error: not enough memory to load ctprune's libraries: allow more memory\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
