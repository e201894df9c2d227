import keras
import numpy as np
import pytest

from cascade_tf.backbones import ResNet
from cascade_tf.weights import load_backbone

WIDTHS = {"width": 0.125, "stem_channels": 12}


def small_resnet(norm="frozen"):
    return ResNet(14, norm, freeze_at=0, norm_groups=4, **WIDTHS)


def caffe_arrays(seed=0):
    """An archive for `small_resnet`: names as Caffe gives them, shapes by the rule of the architecture."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def add(name, kernel, inputs, outputs):
        arrays[f"{name}/kernel"] = 0.1 * rng.standard_normal((kernel, kernel, inputs, outputs))
        arrays[f"{name}/bias"] = rng.standard_normal(outputs)
        arrays[f"{name}/bn_mean"] = rng.standard_normal(outputs)
        arrays[f"{name}/bn_var"] = rng.uniform(0.5, 2.0, outputs)
        arrays[f"{name}/bn_gamma"] = rng.uniform(0.5, 2.0, outputs)
        arrays[f"{name}/bn_beta"] = rng.standard_normal(outputs)

    add("conv_1", 7, 3, 12)
    inputs = 12
    for stage, channels in enumerate((8, 16, 32, 64)):
        block = f"conv_stage{stage}_block0"
        add(f"{block}_proj_shortcut", 1, inputs, 4 * channels)
        add(f"{block}_branch2a", 1, inputs, channels)
        add(f"{block}_branch2b", 3, channels, channels)
        add(f"{block}_branch2c", 1, channels, 4 * channels)
        inputs = 4 * channels
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def save(folder, arrays):
    path = folder / "weights.npz"
    np.savez(path, **arrays)
    return path


def test_every_array_arrives_and_biases_go_into_the_means(tmp_path):
    arrays = caffe_arrays()
    backbone = small_resnet()
    report = load_backbone(backbone, save(tmp_path, arrays))
    assert report.source == "resnet_npz"
    assert report.missing == report.unused == {}
    assert len(report.loaded) == 17 * 5
    assert sum(len(sources) for sources in report.loaded.values()) == len(arrays)
    kernel = backbone.get_layer("res3_0_conv2").kernel
    np.testing.assert_array_equal(kernel, arrays["conv_stage1_block0_branch2b/kernel"])
    norm = backbone.get_layer("res5_0_shortcut_norm")
    source = "conv_stage3_block0_proj_shortcut"
    np.testing.assert_array_equal(norm.gamma, arrays[f"{source}/bn_gamma"])
    np.testing.assert_array_equal(norm.moving_variance, arrays[f"{source}/bn_var"])
    np.testing.assert_array_equal(norm.moving_mean, arrays[f"{source}/bn_mean"] - arrays[f"{source}/bias"])


def test_the_stem_computes_convolution_bias_and_normalisation(tmp_path):
    arrays = caffe_arrays()
    backbone = small_resnet()
    load_backbone(backbone, save(tmp_path, arrays))
    stem = keras.Model(backbone.input, backbone.get_layer("stem_conv1_norm").output)
    image = np.random.default_rng(1).standard_normal((1, 8, 8, 3)).astype(np.float32)
    padded = np.pad(image, [(0, 0), (3, 3), (3, 3), (0, 0)])
    window = padded[0, 2:9, 4:11]  # of the output in row 1, column 2, at stride 2
    value = np.einsum("ijc,ijck->k", window, arrays["conv_1/kernel"]) + arrays["conv_1/bias"]
    value = (value - arrays["conv_1/bn_mean"]) / np.sqrt(arrays["conv_1/bn_var"] + 1e-5)
    value = value * arrays["conv_1/bn_gamma"] + arrays["conv_1/bn_beta"]
    np.testing.assert_allclose(stem(image)[0, 1, 2], value, rtol=1e-4, atol=1e-4)


def test_missing_foreign_and_misshapen_arrays_are_named(tmp_path):
    arrays = caffe_arrays()
    arrays.pop("conv_1/bn_var")
    arrays["classifier/kernel"] = np.zeros((4, 4), np.float32)
    arrays["conv_1/kernel"] = arrays["conv_1/kernel"][..., :5]
    before = small_resnet()
    values = [np.array(v) for v in before.weights]
    with pytest.raises(ValueError, match=r"\(resnet_npz\) does not fit the model") as error:
        load_backbone(before, save(tmp_path, arrays))
    for part in ("from conv_1/bn_var", "classifier/kernel", "(7, 7, 3, 12)"):
        assert part in str(error.value)
    for variable, value in zip(before.weights, values, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_group_normalisation_has_no_statistics_to_load(tmp_path):
    with pytest.raises(ValueError, match="bn_mean"):
        load_backbone(small_resnet("group"), save(tmp_path, caffe_arrays()))
