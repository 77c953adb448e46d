"""A process that writes to a ledger until it is killed: `python -m tests.services.ledger.crashing_writer URL`.

It says after each answered batch how many requests were answered, one number to a line.
"""

import sys

from tests.services.ledger.builders import running
from tests.services.ledger.history import BATCH, opening, packs


def main() -> None:
    with running(sys.argv[1]) as books:
        books.accept(*opening())
        answered = 0
        for batch in packs():
            books.accept(*batch)
            answered += BATCH
            sys.stdout.write(f"{answered}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
