"""The command line, as ``python -m autoprox``."""

from autoprox.cli import main

if __name__ == "__main__":
    main(prog_name="autoprox")
