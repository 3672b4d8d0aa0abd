"""``python -m stedopt_bluesky.cli``: the command line without its script."""

from stedopt_bluesky.cli.main import main

if __name__ == "__main__":
    main()
