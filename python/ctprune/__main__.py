"""`python -m ctprune`."""

from ctprune.cli import main

main()
