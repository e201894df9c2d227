r"""MS-CNN and its cascade on drawn pedestrians.

They are compared by CityPersons' number at IoU 0.75; docs/reproduction.md has the result.

    python scripts/study.py --study drawn_pedestrians --dataset_dir PEDESTRIANS \
        --workdir studies/pedestrians --jobs 2
"""

from cascade_tf.study import Claim, Row, Study, more_than

NUMBER = "citypersons/MR75/reasonable"


def study() -> Study:
    """Five seeds of each, and the paper's claim."""
    return Study(
        name="MS-CNN on drawn pedestrians",
        rows=(
            Row("mscnn", "drawn/pedestrians/mscnn"),
            Row("cascade", "drawn/pedestrians/cascade_mscnn"),
        ),
        numbers=("citypersons/MR/reasonable", NUMBER, "AP50", "AP75"),
        claims=(
            Claim(
                "strict",
                "The cascade misses fewer of the reasonable pedestrians at IoU 0.75",
                "Table 13",
                sums=(more_than("mscnn", "cascade", NUMBER),),
            ),
        ),
    )
