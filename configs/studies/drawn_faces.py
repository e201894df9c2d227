r"""MS-CNN and its cascade on drawn faces.

They are compared by WIDER FACE's number at IoU 0.75; docs/reproduction.md has the result.

    python scripts/study.py --study drawn_faces --dataset_dir FACES \
        --workdir studies/faces --jobs 2
"""

from cascade_tf.study import Claim, Row, Study, more_than

NUMBER = "widerface/AP75/hard"


def study() -> Study:
    """Five seeds of each, and the paper's claim."""
    return Study(
        name="MS-CNN on drawn faces",
        rows=(
            Row("mscnn", "drawn/faces/mscnn"),
            Row("cascade", "drawn/faces/cascade_mscnn"),
        ),
        numbers=(
            "widerface/AP/medium",
            "widerface/AP75/easy",
            "widerface/AP75/medium",
            NUMBER,
            "AP50",
            "AP75",
        ),
        claims=(
            Claim(
                "strict",
                "The cascade finds more of the hard faces at IoU 0.75",
                "Table 14",
                sums=(more_than("cascade", "mscnn", NUMBER),),
            ),
        ),
    )
