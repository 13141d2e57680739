"""`ray job submit --working-dir . -- python jobs/run_study.py STUDY --store URI [--from DIR]`

Stages what is missing, runs what is missing, writes rows.parquet. Submit it again after anything:
the store knows what is done. Exit code 1 if steps failed, 2 if the study or the store cannot be
used, 3 if the budget or a request to stop left some undone.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A job's working directory is not installed; its driver and its workers find the package here.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scaling.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
