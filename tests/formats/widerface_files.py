"""Writes WIDER FACE's ground truth as the official .mat files have it."""

from __future__ import annotations

import numpy as np


def write_ground_truth(folder, events, savemat):
    """Writes the four files.

    Args:
        folder: where to.
        events: event -> image -> (boxes as x, y, width, height, {setting: numbers of faces from 1}).
        savemat: of SciPy.
    """
    cells = {"event_list": [], "file_list": [], "face_bbx_list": []}
    chosen = {"easy": [], "medium": [], "hard": []}
    for event, images in events.items():
        cells["event_list"].append(event)
        cells["file_list"].append(_cells(images))
        cells["face_bbx_list"].append(
            _cells(np.array(boxes, np.int32).reshape(-1, 4) for boxes, _ in images.values())
        )
        for setting, lists in chosen.items():
            lists.append(_cells(np.array([n[setting]], np.uint8).T for _, n in images.values()))
    savemat(folder / "wider_face_val.mat", {name: _cells(value) for name, value in cells.items()})
    for setting, lists in chosen.items():
        savemat(folder / f"wider_{setting}_val.mat", {"gt_list": _cells(lists)})


def _cells(values):
    values = list(values)
    cells = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        cells[i, 0] = value
    return cells
