"""What a newcomer sees before any run: the rows of `scaling report --example` and their picture.

    make example                 # docs/report.png from the rows that are shipped
    make example FROM=runs/demo # and first the rows, from the store of a finished demo

Needs Chromium for the picture.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from benchmarks.results_table import machine
from scaling.catalogue.example import COMMIT, DAY, MACHINE, ROWS, STUDY
from scaling.planning.progress import current_plan
from scaling.store.store import Store
from scaling.store.tidy import ROWS as STORED
from scaling.store.tidy import write_rows
from scaling.study.study import load_study

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report.png"
MOST_PICTURE_BYTES = 150_000
WIDTH, HEIGHT, COLOURS = 1000, 1330, 64
SECONDS = 120


def ship_rows(store: Store) -> int:
    """Put the rows of a finished demo into the package; how many. SystemExit if it is not done."""
    scan = store.scan()
    plan = current_plan(load_study(STUDY), store, scan=scan)
    missing = [cell for cell in plan.cells if cell.scored not in scan.done]
    if missing:
        sys.exit(f"{store.uri}: {len(missing)} of {len(plan.cells)} cells have no score yet")
    count = write_rows(plan, store)
    records = store.records(step for step in plan.steps if step in scan.done).values()
    last = max(record.provenance.finished_at for record in records)
    commits = sorted({record.provenance.commit[:7] for record in records})
    table = pq.read_table(io.BytesIO(store.read(STORED)))
    origin = {COMMIT: ", ".join(commits), DAY: last[:10], MACHINE: machine()}
    pq.write_table(table.replace_schema_metadata(origin), ROWS, compression="zstd")
    return count


def draw(page: Path, picture: Path) -> int:
    """Put the first screen of a page into a PNG of few colours; its bytes."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("the picture needs Chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        words += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"]
        words += [f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(words, check=True, capture_output=True, timeout=SECONDS)
        with Image.open(shot) as taken:
            few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(picture, optimize=True)
    return picture.stat().st_size


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", help="of a finished demo, whose rows are to be shipped")
    asked = parser.parse_args()
    if asked.store:
        print(f"{ship_rows(Store.open(asked.store))} rows, {ROWS.stat().st_size:,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "scaling.cli", "report", "--example", "--out", folder]
        subprocess.run([sys.executable, *words], check=True, timeout=SECONDS)
        size = draw(Path(folder) / "index.html", PICTURE)
    print(f"{PICTURE.name}: {size:,} bytes, {datetime.now(UTC):%Y-%m-%d}")
    if size > MOST_PICTURE_BYTES:
        sys.exit(f"more than {MOST_PICTURE_BYTES:,}")


if __name__ == "__main__":
    main()
