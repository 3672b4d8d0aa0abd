"""Published weights: forward passes against a plain evaluation, and files that would do harm."""

import json
import math
import pathlib
import pickle
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from stedopt_bluesky.networks.mask import score_mask
from stedopt_bluesky.networks.preference import PreferenceNetwork, PreferenceScorer
from stedopt_bluesky.networks.published import MAX_COUNTS, UNUSED, import_preference, import_quality
from stedopt_bluesky.networks.rater import QualityRater
from stedopt_bluesky.networks.weights import WeightsError, load_weights
from tests.networks.random_weights import random_network, spots

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "preference"
TWO, THREE = REAL / "2obj-2018-07-02-00-32-44", REAL / "3objs-2018-07-01-18-02-50"
FORMATS = {"old": False, "zip": True}


def save(state, path, form="old"):
    torch.save(state, path, _use_new_zipfile_serialization=FORMATS[form])
    return path


def quality_state(seed=0):
    return random_network(seed).state_dict()


def preference_folder(path, objectives=2, config=None, form="old", state=None):
    path.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(objectives)
    network = PreferenceNetwork(objectives)
    save(network.state_dict() if state is None else state, path / "weights.t7", form)
    told = {"train_mean": 0.6, "train_std": 1.2} if config is None else config
    (path / "config.json").write_text(told if isinstance(told, str) else json.dumps(told))
    return path


# --- quality ------------------------------------------------------------------------------------


def plain_scores(state, image, full_scale):
    """Score map of the published layout with nothing but numpy and scipy."""
    w = {name: tensor.numpy().astype(np.float64) for name, tensor in state.items()}
    x = np.clip(image / full_scale, 0, 1)[None]
    kept = {}
    for number in range(1, 7):
        kernels = w[f"conv{number}.weight"]
        x = np.stack(
            [
                # A convolution of networks is a correlation: the kernel is turned.
                sum(
                    convolve2d(channel, kernel[::-1, ::-1], mode="same")
                    for channel, kernel in zip(x, of_output, strict=True)
                )
                for of_output in kernels
            ]
        )
        x += w[f"conv{number}.bias"][:, None, None]
        name = f"conv{number}_bn"
        factor = w[f"{name}.weight"] / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        x = (x - w[f"{name}.running_mean"][:, None, None]) * factor[:, None, None]
        x += w[f"{name}.bias"][:, None, None]
        if number == 1:
            x = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        if number < 6:
            even = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            x = even.reshape(len(x), even.shape[1] // 2, 2, even.shape[2] // 2, 2).max(axis=(2, 4))
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        kept[number] = x

    def score(name, features):
        return np.tensordot(w[f"{name}.weight"][0, :, 0, 0], features, 1) + w[f"{name}.bias"][0]

    def spread(small, kernel, stride):
        side = len(kernel)
        out = np.zeros([stride * (n - 1) + side for n in small.shape])
        for (row, column), value in np.ndenumerate(small):
            out[row * stride : row * stride + side, column * stride : column * stride + side] += (
                value * kernel
            )
        return out

    z = score("map7x7", kept[6])
    z = score("map14x14", kept[4]) + spread(z, w["upscore2.weight"][0, 0], 2)[1:-1, 1:-1]
    z = score("map28x28", kept[3]) + spread(z, w["upscore2b.weight"][0, 0], 2)[1:-1, 1:-1]
    z = spread(z, w["upscore8.weight"][0, 0], 8)
    return 1 / (1 + np.exp(-(1.5 * z - 0.25)))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("structure", ["actin", "membrane"])
def test_an_imported_quality_network_rates_as_the_published_layout_says(tmp_path, structure, form):
    state = quality_state(7)
    source = save(state, tmp_path / "params.net", form)
    weights = import_quality(source, structure, tmp_path / "out.safetensors")
    image = spots(1, 64, photons=600).astype(np.float32)
    rated = QualityRater(load_weights(weights.path, "quality")).rate([image])[0]
    maps = plain_scores(state, image, 0.8 * {"actin": 997, "membrane": 1206}[structure])
    np.testing.assert_allclose(rated.map, maps, atol=2e-5)
    mask = score_mask(image)
    assert rated.score == pytest.approx((maps * mask).sum() / (mask.sum() + 1), abs=2e-5)
    assert maps.std() > 0.01  # else the comparison would say nothing


@pytest.mark.parametrize("structure", [*MAX_COUNTS, "CaMKII", "PSD95", "LifeAct"])
def test_what_the_file_of_a_quality_network_says(tmp_path, structure):
    source = save(quality_state(), tmp_path / "params.net")
    info = import_quality(source, structure, tmp_path / "out.safetensors").info
    assert info.structure == structure.lower()
    assert (info.whitening.kind, info.whitening.offset) == ("range", 0)
    assert info.whitening.scale == pytest.approx(0.8 * MAX_COUNTS[structure.lower()])
    assert info.pixel_size_nm == 20
    assert "non-commercial" in info.licence
    # The published whitening of int16 images as numbers from 0 to 1 comes to the same.
    counts, largest = np.array([0, 100, 5000]), MAX_COUNTS[structure.lower()]
    low, high, v = ((np.array(c) + 32768) / 65535 for c in (0, largest, counts))
    expected = np.clip((v - low) / (0.8 * (high - low)), 0, 1)
    np.testing.assert_allclose(info.whitening(counts), expected, atol=1e-6)


def test_what_old_files_lack_and_no_score_needs_is_made(tmp_path):
    state = quality_state(2)
    thin = {
        name: tensor
        for name, tensor in state.items()
        if name not in UNUSED and "num_batches" not in name
    }
    whole = import_quality(save(state, tmp_path / "a.net"), "actin", tmp_path / "a.safetensors")
    lacking = import_quality(save(thin, tmp_path / "b.net"), "actin", tmp_path / "b.safetensors")
    assert set(whole.tensors) == set(lacking.tensors) == set(state)
    assert np.array_equal(whole.tensors["map56x56.weight"], state["map56x56.weight"].numpy())
    image = spots(3)
    read = [QualityRater(load_weights(w.path, "quality")) for w in (whole, lacking)]
    assert read[0](image) == read[1](image)


def test_an_unknown_structure_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="structure = 'mitochondria': allowed are actin"):
        import_quality(tmp_path / "params.net", "mitochondria", tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("conv3.weight"), "tensor conv3.weight is missing"),
        (lambda s: s.update(extra=torch.ones(2)), "tensor extra is unknown"),
        (lambda s: s.update({"conv1.bias": torch.ones(3)}), r"conv1.bias has shape \(3,\)"),
        (lambda s: s.update({"conv1.bias": [1, 2]}), "conv1.bias is a list, not a tensor"),
        (
            lambda s: s.update({"conv1.bias": torch.full((32,), math.nan)}),
            "conv1.bias holds numbers that are not finite",
        ),
        (
            lambda s: s.update({"conv1.bias": torch.zeros(1).expand(2**40)}),
            "conv1.bias is sparse or too large",
        ),
        (lambda s: s.update({"conv1.bias": torch.eye(32).to_sparse()}), "sparse"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_another_layout_is_told_in_one_line(tmp_path, change, says, form):
    state = quality_state()
    change(state)
    refused(save(state, tmp_path / "params.net", form), says)


def refused(source, says):
    out = source.parent / "out.safetensors"
    with pytest.raises(WeightsError, match=says) as raised:
        import_quality(source, "actin", out)
    assert str(source) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not out.exists()


# --- files that would do harm, or are none --------------------------------------------------------


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, victim):
        self.victim = str(victim)

    def __reduce__(self):
        return open, (self.victim, "w")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("where", ["whole", "beside", "inside"])
def test_a_malicious_file_is_refused_and_runs_nothing(tmp_path, form, where):
    victim = tmp_path / "ran"
    state = {
        "whole": Harm(victim),
        "beside": {**quality_state(), "harm": Harm(victim)},
        "inside": {**quality_state(), "conv1.bias": [Harm(victim)]},
    }[where]
    source = save(state, tmp_path / "params.net", form)
    refused(source, "would run something")
    folder = preference_folder(tmp_path / "preference", state=state, form=form)
    with pytest.raises(WeightsError, match="would run something"):
        import_preference(folder, tmp_path / "out.safetensors")
    assert not victim.exists()
    # It is malicious indeed: without the guard it runs.
    torch.load(source, weights_only=False)
    assert victim.exists()


@pytest.mark.parametrize("form", FORMATS)
def test_a_bare_pickle_and_a_tar_run_nothing_either(tmp_path, form):
    victim = tmp_path / "ran"
    source = tmp_path / "params.net"
    source.write_bytes(pickle.dumps(Harm(victim)))
    refused(source, "not a state dictionary")
    inner = save(Harm(victim), tmp_path / "pickle", form)
    with tarfile.open(source, "w") as archive:
        for name in ("pickle", "storages", "tensors"):
            archive.add(inner, name)
    refused(source, "not a state dictionary")
    assert not victim.exists()


def test_the_record_beside_a_preference_network_is_not_opened(tmp_path):
    victim = tmp_path / "ran"
    folder = preference_folder(tmp_path / "preference")
    (folder / "record.json").write_bytes(pickle.dumps(Harm(victim)))
    import_preference(folder, tmp_path / "out.safetensors")
    assert not victim.exists()


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_told(tmp_path_factory, form, share):
    folder = tmp_path_factory.mktemp("truncated")
    source = save(PreferenceNetwork(2).state_dict(), folder / "params.net", form)
    content = source.read_bytes()
    source.write_bytes(content[: int(share * len(content))])
    refused(source, "not a state dictionary")


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_a_network_or_one_line(tmp_path_factory, form, data):
    folder = preference_folder(tmp_path_factory.mktemp("damaged") / "preference", form=form)
    content = bytearray((folder / "weights.t7").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "weights.t7").write_bytes(content)
    assert "\n" not in told(folder)


def told(folder):
    """Reason why a folder cannot be imported; empty when it can."""
    try:
        import_preference(folder, folder / "out.safetensors")
    except WeightsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("state", [torch.ones(3), [torch.ones(3)], 7, "text", None])
def test_what_is_no_dictionary_is_told(tmp_path, state):
    refused(save(state, tmp_path / "params.net"), "not a state dictionary")


def test_files_that_are_missing_or_too_large(tmp_path):
    source = tmp_path / "params.net"
    refused(source, "No such file")
    source.write_bytes(bytes(16 * 2**20 + 1))
    refused(source, "larger than 16 MiB")
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(17 * 2**20))
    refused(source, "more than 16 MiB unpacked")


def test_where_it_cannot_be_written(tmp_path):
    folder = preference_folder(tmp_path / "preference")
    with pytest.raises(WeightsError, match="cannot be written"):
        import_preference(folder, folder / "config.json" / "out.safetensors")


# --- preference -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("objectives", [2, 3])
def test_an_imported_preference_network_says_what_it_is(tmp_path, objectives, form):
    folder = preference_folder(tmp_path / "preference", objectives, form=form)
    info = import_preference(folder, tmp_path / "out.safetensors").info
    assert [(o.name, o.unit) for o in info.objectives] == [
        ("quality", ""),
        ("photobleaching", ""),
        # Not "s": a run that measures its time in seconds must refuse it.
        ("imaging_time_s", "unknown"),
    ][:objectives]
    assert {(o.offset, o.scale) for o in info.objectives} == {(0.6, 1.2)}
    assert ("unit is not stated" in info.training.get("note", "")) == (objectives == 3)


@pytest.mark.parametrize("objectives", [1, 4])
def test_so_many_objectives_were_not_published(tmp_path, objectives):
    folder = preference_folder(tmp_path / "preference", objectives)
    with pytest.raises(WeightsError, match=r"expected \(10, 2\) or \(10, 3\)"):
        import_preference(folder, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("", "expected JSON with train_mean and train_std"),
        ("[]", "expected JSON"),
        ('{"train_mean": 1}', "'train_std'"),
        ("[" * 100_000, "expected JSON"),
        ({"train_mean": 0, "train_std": 0}, "train_std = 0: above 0"),
        ({"train_mean": 0, "train_std": -1}, "train_std = -1"),
        ('{"train_mean": NaN, "train_std": 1}', "train_mean = 'nan': a finite number"),
        ({"train_mean": "0", "train_std": 1}, "train_mean = '0'"),
        ({"train_mean": True, "train_std": 1}, "train_mean = 'True'"),
        ({"train_mean": 10**400, "train_std": 1}, "a finite number"),
    ],
)
def test_a_whitening_that_is_none(tmp_path, config, says):
    folder = preference_folder(tmp_path / "preference", config=config)
    with pytest.raises(WeightsError, match=says) as raised:
        import_preference(folder, tmp_path / "out.safetensors")
    assert "config.json" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["weights.t7", "config.json"])
def test_a_folder_that_lacks_a_file(tmp_path, missing):
    folder = preference_folder(tmp_path / "preference")
    (folder / missing).unlink()
    with pytest.raises(WeightsError, match=f"{missing}: No such file"):
        import_preference(folder, tmp_path / "out.safetensors")


@pytest.mark.parametrize("real", [TWO, THREE], ids=["2", "3"])
def test_the_real_networks_score_as_a_plain_evaluation_says(tmp_path, real):
    if not real.is_dir():
        pytest.skip(f"no {real}")
    scorer = PreferenceScorer(import_preference(real, tmp_path / "out.safetensors"))
    state = torch.load(real / "weights.t7", weights_only=True)
    w = {name: tensor.numpy().astype(np.float64) for name, tensor in state.items()}
    config = json.loads((real / "config.json").read_text())
    values = np.random.default_rng(0).normal(0.5, 1.0, (500, len(scorer.objectives)))
    x = (values - config["train_mean"]) / config["train_std"]
    x = np.maximum(x @ w["f1.weight"].T + w["f1.bias"], 0)
    x = np.maximum(x @ w["f2.weight"].T + w["f2.bias"], 0)
    expected = (x @ w["out.weight"].T + w["out.bias"])[:, 0]
    np.testing.assert_allclose(scorer.scores(values), expected, rtol=1e-12, atol=1e-12)
    assert scorer.scores(values).std() > 0.5


def test_the_published_expert_prefers_quality_without_bleaching(tmp_path):
    if not TWO.is_dir():
        pytest.skip(f"no {TWO}")
    shutil.copytree(TWO, tmp_path / "copy")
    scorer = PreferenceScorer(import_preference(tmp_path / "copy", tmp_path / "out.safetensors"))
    good, bleached, poor = scorer.scores(np.array([[0.9, 0.2], [0.9, 0.9], [0.3, 0.2]]))
    assert good > bleached > poor
