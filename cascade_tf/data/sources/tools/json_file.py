"""Tools that write one JSON file for many pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.data.layouts import find_image_dir
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.tools.folders import below, by_split, list_tree, some_files
from cascade_tf.data.sources.tools.json_kind import broken_in, kind_of_json, kinds_in, load_json
from cascade_tf.data.sources.tools.labelled import LabelledPictures
from cascade_tf.data.splitting import SIDES


@dataclass(frozen=True)
class JsonFile(LabelledPictures):
    """A file with the pictures of a split, beside them or where tools put it."""

    def load(self) -> Any:
        """Reads the file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no JSON.
        """
        try:
            return load_json(Path(self.name))
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{self.name}: {error}") from None

    def place(self, key: object) -> str:
        """What messages call a record of the file."""
        return f"{Path(self.name).name}[{key!r}]"

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return find_image_dir(self.name, images)


def choose_file(root: Path, kind: str, split: str, *, splitting: bool) -> tuple[Path, str, bool]:
    """Finds the file of a split.

    Args:
        root: the folder of the data set, or one file.
        kind: of the files, as `kind_of_json` calls it.
        split: "train", "val" or "test", for which a name of the file or of its folder has a word; "all" is
            the only file.
        splitting: see `choose_list`.

    Returns:
        The file, what notes call it, and whether the split is still to be chosen from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are several, or as in `choose_list`.
    """
    if root.is_file():
        files, folder = [root], root.parent
    else:
        files, folder = kinds_in(list_tree(root)).get(kind, []), root
    lists = _by_split(files, folder)
    if root.is_file():
        lists = {"all": files}
    else:
        # What cannot be read says of no split that it is not there: reading it will say why.
        lost = _by_split(broken_in(list_tree(root)), folder)
        lists = {side: lost[side] for side in SIDES if side in lost} | lists
    chosen, whole = choose_list(root, split, lists, splitting=splitting)
    if len(chosen) != 1:
        raise ValueError(
            f"{root}: found {len(chosen)} annotation files for {split}: {some_files(chosen, folder)}; "
            "expected one, which may be given itself in place of the folder"
        )
    return chosen[0], below(chosen[0], folder), whole


def _by_split(files: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    return by_split(files, folder, lambda file: (file.name.partition(".")[0],))


def is_kind(root: Path, kind: str) -> bool:
    """Whether a folder holds JSON files of a kind, or a file is one."""
    return kind_of_json(root) == kind if os.path.isfile(root) else kind in kinds_in(list_tree(root))
