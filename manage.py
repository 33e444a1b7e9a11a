#!/usr/bin/env python
"""Django's command line; `palyra` is the same thing, installed."""

from palyra_site.cli import main

if __name__ == "__main__":
    main()
