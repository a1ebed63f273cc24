"""Prints what the installation costs and what bounds it: ``python -m infra.cost``.

``--docs`` writes the tables of ``docs/cost.md`` anew instead; a test compares the two.
"""

from __future__ import annotations

import sys

from infra import package
from infra.cost import pages
from infra.cost.template import Built


def main() -> None:
    """Print the tables, or write them into the page."""
    built = Built(package.load_template(package.build()))
    if "--docs" in sys.argv[1:]:
        pages.write(built)
    else:
        print(pages.text(built))


if __name__ == "__main__":
    main()
