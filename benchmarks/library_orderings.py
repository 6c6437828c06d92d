"""Finer lattices on which the library's crystals nearly repeat: the table behind `kikuchinet.diffraction.orderings`.

python benchmarks/library_orderings.py            # prints what the table says
python benchmarks/library_orderings.py --write    # simulates it anew, some minutes, and writes the package's data file
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import kikuchinet.diffraction
from kikuchinet._files import atomic_path
from kikuchinet.crystal import crystals
from kikuchinet.diffraction.visibility import orderings, orderings_key, simulated_orderings

TABLE = Path(kikuchinet.diffraction.__file__).parent / "data" / "orderings.json"


def main() -> None:
    """Write the table, or print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    chosen = [crystal for crystal in crystals.values() if crystal.space_group in range(221, 231)]
    if write:
        table = {
            orderings_key(one): [asdict(ordering) for ordering in simulated_orderings(one)] for one in chosen
        }
        with atomic_path(TABLE) as temporary:
            lines = [f"{json.dumps(key)}: {json.dumps(found)}" for key, found in table.items()]
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return
    for one in chosen:
        for ordering in orderings(one):
            print(
                f"{one.name:28} {one.space_group} {ordering.space_group} {ordering.divisor}{ordering.centring} "
                f"ratio {ordering.ratio:.4f} distance {ordering.distance:.5f}"
            )


if __name__ == "__main__":
    main()
