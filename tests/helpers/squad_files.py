"""Files in the form of SQuAD."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def squad(path: Path, *questions: dict[str, Any], **paragraph: Any) -> Path:
    """One paragraph with its questions."""
    content = {"context": "Ada wrote it. Bob did not.", "qas": list(questions), **paragraph}
    path.write_text(
        json.dumps({"version": "2.0", "data": [{"paragraphs": [content]}]}), encoding="utf-8"
    )
    return path
