"""Run rali as ``python -m rali_cli``."""

from rali_cli.app import main

if __name__ == "__main__":
    main()
