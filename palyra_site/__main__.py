"""`python -m palyra_site` is `palyra`."""

from palyra_site.cli import main

if __name__ == "__main__":
    main()
