"""One file becomes two splits by the names of its images."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.data.splitting import Splitting

NAMES = [f"picture_{i:04}.jpg" for i in range(1000)]
FRAMES = [f"video{v}/frame_{f:03}.jpg" for v in range(20) for f in range(30)]


def val(splitting: Splitting, names: list[str]) -> set[str]:
    return {name for name, side in zip(names, splitting.choose(names), strict=True) if side == "val"}


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_as_asked(fraction):
    # Four standard deviations of the binomial distribution.
    spread = 4 * np.sqrt(1000 * fraction * (1 - fraction))
    assert abs(len(val(Splitting(fraction), NAMES)) - 1000 * fraction) < spread


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "least", "most"), [(2, 1, 1), (5, 1, 1), (10, 1, 3), (40, 4, 12)])
def test_small_sets_have_both_sides(seed, count, least, most):
    assert least <= len(val(Splitting(0.2, seed), NAMES[:count])) <= most


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_no_side_is_empty_at_the_ends(fraction):
    assert len(val(Splitting(fraction), NAMES[:20])) == (1 if fraction < 0.5 else 19)


def test_it_is_the_same_in_any_order_and_every_time():
    chosen = val(Splitting(0.2), NAMES)
    assert val(Splitting(0.2), NAMES[::-1]) == chosen
    # So is it on every machine and in every version.
    assert sorted(chosen)[:4] == [f"picture_{i:04}.jpg" for i in (23, 26, 30, 31)]


def test_images_that_are_added_leave_the_others_where_they_are():
    before = val(Splitting(0.2), NAMES[:500])
    assert val(Splitting(0.2), NAMES) & set(NAMES[:500]) == before


def test_another_seed_chooses_others():
    first, second = val(Splitting(0.2), NAMES), val(Splitting(0.2, seed=1), NAMES)
    assert 10 < len(first & second) < 80  # 40 if they are independent


@pytest.mark.parametrize("pattern", ["^(.*)/", r"^video\d+", r"video(\d+)"])
def test_frames_of_a_video_stay_together(pattern):
    chosen = val(Splitting(0.2, split_by=pattern), FRAMES)
    videos = {name.split("/")[0] for name in chosen}
    assert chosen == {name for name in FRAMES if name.split("/")[0] in videos}
    assert 2 <= len(videos) <= 6


def test_a_group_larger_than_the_share_is_passed_over():
    names = [f"big_{i}.jpg" for i in range(80)] + [f"small{i // 2}_{i}.jpg" for i in range(20)]
    for seed in range(20):
        chosen = val(Splitting(0.1, seed, split_by="^[^_]+"), names)
        assert 2 <= len(chosen) <= 15
        assert not any(name.startswith("big") for name in chosen)


def test_few_large_groups_are_split_all_the_same():
    names = [f"{letter}{i}.jpg" for letter in "ab" for i in range(10)]
    for seed in range(5):
        assert len(val(Splitting(0.1, seed, split_by="^."), names)) == 10


def test_names_that_do_not_match_stand_for_themselves():
    names = [*FRAMES, *NAMES[:100]]
    chosen = val(Splitting(0.3, split_by=r"^video\d+"), names)
    assert 0 < len(chosen & set(NAMES)) < 100


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match=r"split_by: 'xyz' matches no name, the first is 'picture_0000.jpg'"):
        Splitting(0.2, split_by="xyz").choose(NAMES)
    with pytest.raises(ValueError, match="1,000 images make 1 group by split_by 'picture', expected"):
        Splitting(0.2, split_by="picture").choose(NAMES)
    with pytest.raises(ValueError, match="1 image makes 1 group, expected at least 2"):
        Splitting(0.2).choose(["a.jpg"])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 20.0, float("nan")])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(ValueError, match=r"val_fraction: got .*, expected a share between 0 and 1"):
        Splitting(fraction)


def test_a_pattern_that_is_none():
    with pytest.raises(ValueError, match=r"split_by: got '\(', expected a regular expression"):
        Splitting(0.2, split_by="(")
