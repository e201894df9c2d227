"""The check of all pictures of a data set before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Example
from cascade_tf.data.image_headers import read_header
from cascade_tf.data.shards.locations import picture_size

LEVELS = ("full", "headers", "none")
"""How much is looked at: header, size and end; header and size; nothing."""

# A file that lies far away is waited for, not worked on: more threads than cores hide that.
_THREADS = 16
_CHUNK = 64


def check_images(
    dataset: CocoDataset,
    level: str = "full",
    *,
    upright: bool = True,
    skip_broken: bool = False,
    progress: Callable[[int], object] | None = None,
) -> CocoDataset:
    """Looks at the file of each image: format, size and whether it ends as it should.

    The pixels are not decoded, so damage in the middle of a file is not found. Where only the size of the
    pixels as they are stored is the annotated one, the boxes are those of the stored picture; that is logged
    once, with their count.

    Args:
        dataset: as it was read.
        level: one of ``LEVELS``.
        upright: pictures are turned by their EXIF orientation when they are read.
        skip_broken: leave out images that fail and list them in ``dropped``, instead of stopping with a list.
        progress: called with the number of images that were looked at since its last call.

    Returns:
        The data set without the images that fail.

    Raises:
        ValueError: images fail, or none is left; or there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"check_images: got {level!r}, expected one of {', '.join(LEVELS)}")
    if level == "none":
        return dataset

    def look(examples: Sequence[Example]) -> list[str | None]:
        return [fault_of(example, end=level == "full", upright=upright) for example in examples]

    report = BrokenRecords(dataset.annotation_file, skip_broken)
    failed: set[int] = set()
    as_stored = 0
    for example, finding in look_at_all(dataset.examples, look, progress):
        if finding == AS_STORED:
            as_stored += 1
        elif finding is not None:
            failed.add(example.image_id)
            report.broken(f"image {example.image_id}: {example.path} {finding}")
    report.finish()
    if as_stored:
        logging.info(
            "%s: the annotated size of %d of %d images is that of the pixels as they are stored, not as "
            "viewers show them; their boxes are taken as stored",
            dataset.annotation_file,
            as_stored,
            len(dataset.examples),
        )
    return dataset.without(failed, report.dropped) if failed else dataset


AS_STORED = "as stored"
"""The finding that the annotated size is that of the stored pixels alone."""


def look_at_all(
    examples: Sequence[Example],
    look: Callable[[Sequence[Example]], list[str | None]],
    progress: Callable[[int], object] | None,
    threads: int = _THREADS,
) -> Iterable[tuple[Example, str | None]]:
    """Gives each example with what ``look`` finds, in their order; looks at several at a time.

    Args:
        examples: whose pictures to look at.
        look: takes some examples and gives a finding for each.
        progress: as in `check_images`.
        threads: that look.
    """
    chunks = [examples[begin : begin + _CHUNK] for begin in range(0, len(examples), _CHUNK)]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="check_images")
    try:
        for chunk, findings in zip(chunks, pool.map(look, chunks), strict=True):
            yield from zip(chunk, findings, strict=True)
            if progress is not None:
                progress(len(chunk))
    finally:
        pool.shutdown(cancel_futures=True)


def fault_of(example: Example, *, end: bool, upright: bool) -> str | None:
    """What is wrong with an image's file, as a sentence goes on after its name.

    Args:
        example: names the file and the annotated size.
        end: also look whether the file ends as it should.
        upright: as in `check_images`.

    Returns:
        None where nothing is wrong; `AS_STORED` where the annotated size is that of the stored pixels.
    """
    try:
        header = read_header(example.path, end=end)
    except FileNotFoundError:
        return "does not exist"
    except ValueError as error:
        return str(error)
    if not header.whole:
        return f"is cut off ({picture_size(example.path)} bytes), expected a whole {header.format}"
    annotated = (example.height, example.width)
    if not end and header.format == "PNG" and annotated != header.upright_size:
        # The orientation may stand behind the pixels.
        return fault_of(example, end=True, upright=upright)
    if annotated == (header.upright_size if upright else header.size):
        return None
    if annotated == header.size:
        return AS_STORED
    return (
        f"has {_pixels(header.upright_size if upright else header.size)} pixels, "
        f"expected {_pixels(annotated)} as annotated"
    )


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
