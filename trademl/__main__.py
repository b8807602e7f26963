"""``python -m trademl`` is the same as ``trademl``."""

from trademl.cli.main import main

if __name__ == "__main__":
    main()
