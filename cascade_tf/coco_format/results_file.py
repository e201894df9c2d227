"""Files of detections in COCO's result format: a JSON list with one record per detection."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_EXPECTED = "a JSON list of detections, each with image_id, category_id, bbox and score"


def load_results_file(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of a file of detections; their fields are not looked at.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or no list of records.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file of detections") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected {_EXPECTED}") from None
    except (
        RecursionError,
        ValueError,
    ) as error:  # json.JSONDecodeError and UnicodeDecodeError are the latter
        raise ValueError(f"{path}: is not JSON ({error}), expected {_EXPECTED}") from None
    if not isinstance(content, list):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected {_EXPECTED}")
    for number, record in enumerate(content):
        if not isinstance(record, dict):
            raise ValueError(f"{path}: detection {number}: is a {type(record).__name__}, expected a record")
    return content
