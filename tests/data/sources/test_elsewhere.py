"""A folder that is nothing, beside one that is a data set, is told with that one."""

from __future__ import annotations

import pytest

from cascade_tf.data.coco import read_dataset_dir
from tests.data.sources import tool_samples
from tests.data.sources.small_voc import Thing, write_year


def complaint(folder, **options):
    with pytest.raises(FileNotFoundError) as error:
        read_dataset_dir(folder, "train", **options)
    return str(error.value)


@pytest.fixture
def voc(tmp_path):
    write_year(tmp_path / "VOCdevkit" / "VOC2007", {"train": ["1"]}, {"1": [Thing("cat", (1, 1, 9, 9))]})
    return tmp_path / "VOCdevkit" / "VOC2007"


@pytest.mark.parametrize("options", [{}, {"layout": "voc"}])
def test_the_folder_above(voc, options):
    message = complaint(voc / "JPEGImages", **options)
    expected = f"; {voc} looks like voc: expected such a folder (in programs --dataset_dir FOLDER)"
    assert message.endswith(expected)
    assert "\n" not in message


@pytest.mark.parametrize("place", ["images", "labels"])
def test_the_folder_above_of_a_tool(tmp_path, place):
    layout, tree = tool_samples.WHOLE["YOLO of Label Studio"]
    set_folder = tool_samples.write(tmp_path / "set", tree())
    assert f"; {set_folder} looks like {layout}: " in complaint(set_folder / place)


def test_folders_in_it(tmp_path):
    given = tmp_path / "given"
    for inner in ("KITTI/training/image_2", "city/leftImg8bit", "notes"):
        (given / inner).mkdir(parents=True)
    kitti, city = f"{given / 'KITTI'} looks like kitti", f"{given / 'city'} looks like citypersons"
    assert f"; {kitti} and {city}: expected such a folder" in complaint(given)
    # Another layout than the one that was asked for is no help.
    assert f"; {kitti}: expected such a folder" in complaint(given, layout="kitti")
    assert "looks like" not in complaint(given, layout="widerface")


def test_nothing_near_and_nothing_there(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    for folder in (tmp_path / "a" / "b", tmp_path / "a" / "nowhere"):
        assert "looks like" not in complaint(folder)


def test_a_folder_of_many_is_no_data_set(tmp_path):
    tool_samples.write(tmp_path / "many" / "set", tool_samples.WHOLE["YOLO of Label Studio"][1]())
    empty = tmp_path / "many" / "empty"
    empty.mkdir()
    assert "looks like" in complaint(empty)
    for number in range(50):
        (tmp_path / "many" / str(number)).mkdir()
    assert "looks like" not in complaint(empty)
