r"""MS-CNN and its cascade on the cars of drawn streets.

They are compared by KITTI's number at IoU 0.7; docs/reproduction.md has the result.

    python scripts/study.py --study drawn_street --dataset_dir STREET \
        --workdir studies/street --jobs 2
"""

from cascade_tf.study import Claim, Row, Study, more_than

NUMBER = "kitti/car/AP40/moderate"


def study() -> Study:
    """Five seeds of each, and the paper's claim."""
    return Study(
        name="MS-CNN on drawn streets",
        rows=(
            Row("mscnn", "drawn/street/mscnn"),
            Row("cascade", "drawn/street/cascade_mscnn"),
        ),
        numbers=(
            "kitti/car/AP11/moderate",
            "kitti/car/AP40/easy",
            NUMBER,
            "kitti/car/AP40/hard",
            "AP50",
            "AP75",
        ),
        claims=(
            Claim(
                "strict",
                "The cascade finds more of the moderate cars at IoU 0.7",
                "Table 12",
                sums=(more_than("cascade", "mscnn", NUMBER),),
            ),
        ),
    )
