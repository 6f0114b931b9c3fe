from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hub_server import REPO, HubServer, git_sha1, sha256
from huggingface_hub import constants
from make_release import make_release

from rali.config import default_model, models_folder, set_default_model
from rali.errors import DamagedModelError, FetchError, ModelError, UnknownModelError, UsageError
from rali.model.golden import golden_pixels
from rali.model.importer import import_checkpoint, remove_model
from rali.model.pull import PullProgress, pull_release
from rali.model.registry import find_model, source_path
from rali.model.scorer import Scorer

TESTS = Path(__file__).resolve().parents[1]
PULL = "from rali.model.pull import pull_release; print(pull_release().weights_sha256)"
BY_HAND = ("ckpt.pt", "pca.pkl", "basis.npz", "best/*", "https://huggingface.co/ByteDance/Q-Insight/tree/main/RALI")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("repo") / "RALI").parent


@pytest.fixture
def hub(made: Path, tmp_path: Path, own_world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Serve a release; this process and those it starts ask there, and have a hub cache of their own."""
    shutil.copytree(made, tmp_path / "repo")
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(own_world / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(own_world / "hf" / "hub"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(own_world / "hf" / "agents.json"), raising=False)
    # What is smaller than one piece is lost when a connection breaks; the files here are small.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    with HubServer(tmp_path / "repo") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def in_process(code: str, **variables: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], text=True, env=os.environ | variables, **pipes)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def interrupt(progress: PullProgress) -> None:
    """Press Ctrl-C in the middle of the last and largest file."""
    if progress.file == "ckpt.pt" and progress.done_bytes > 400_000:
        raise KeyboardInterrupt


# --- getting it ------------------------------------------------------------------------------------------------------


def test_a_pulled_release_is_the_default_and_scores_as_the_folder_does(hub: HubServer) -> None:
    info = pull_release(precision="float32")

    assert default_model() == "rali"
    pixels = golden_pixels(info.preprocessing.crop_px)[:4]
    from_folder = import_checkpoint(hub.folder / "RALI", name="by-hand", precision="float32")
    scores = [Scorer(model, device="cpu").score(pixels).scores for model in (find_model("rali"), from_folder)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert np.ptp(scores[0]) > 0


def test_commit_licence_and_checksums_are_written_down(hub: HubServer) -> None:
    info = pull_release()

    assert info.source == f"{hub.url}/{REPO}/tree/{hub.commit}/RALI"
    assert info.licence == "apache-2.0"
    record = json.loads(source_path("rali").read_text())
    assert (record["repo"], record["folder"], record["commit"]) == (REPO, "RALI", hub.commit)
    digests = {file["name"]: file["digest"] for file in record["files"]}
    contents = {name.removeprefix("RALI/"): content for name, content in hub.files().items()}
    assert digests["ckpt.pt"] == sha256(contents["ckpt.pt"])
    assert digests["best/config.json"] == git_sha1(contents["best/config.json"])
    assert digests.keys() == contents.keys()


def test_a_licence_that_the_hub_does_not_state_is_not_made_up(hub: HubServer) -> None:
    hub.licence = None

    assert "not stated" in pull_release().licence


def test_nothing_but_the_bundle_is_left(hub: HubServer) -> None:
    pull_release()

    assert set(files_below(models_folder())) - {"downloads/rali.lock"} == {
        *("default", "rali.safetensors", "rali.source.json", "text/rali.safetensors")
    }


def test_only_the_files_of_the_release_are_fetched(hub: HubServer) -> None:
    for other in ("README.md", "RALI/train.log", "RALI/best/pytorch_model.bin", "RALI/best/optimizer.pt"):
        (hub.folder / other).write_bytes(b"x" * 3000)

    pull_release()

    assert not {"train.log", "best/pytorch_model.bin", "best/optimizer.pt"} & hub.sent.keys()


def test_progress_grows_to_the_total(hub: HubServer) -> None:
    seen: list[PullProgress] = []

    pull_release(on_progress=seen.append)

    total = sum(len(content) for content in hub.files().values())
    done = [progress.done_bytes for progress in seen if progress.stage == "downloading"]
    assert done == sorted(done)
    assert done[-1] == total
    assert [progress.stage for progress in (seen[0], seen[-1])] == ["listing", "importing"]


def test_the_terminal_is_left_to_the_command_line(hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
    hub.faults.cut_after["ckpt.pt"], hub.faults.cuts = 100_000, 1

    pull_release()

    assert capfd.readouterr() == ("", "")


def test_a_second_pull_fetches_nothing_and_chooses_the_model_again(hub: HubServer) -> None:
    first = pull_release()
    set_default_model("mini")
    hub.sent.clear()

    assert pull_release() == first
    assert default_model() == "rali"
    assert not hub.sent


def test_a_bundle_that_was_damaged_since_is_pulled_again(hub: HubServer) -> None:
    info = pull_release()
    content = bytearray(info.path.read_bytes())
    content[-1] ^= 1
    info.path.write_bytes(content)

    assert pull_release().weights_sha256 == info.weights_sha256
    assert Scorer(find_model("rali"), device="cpu")


def test_another_precision_or_commit_is_another_pull(hub: HubServer) -> None:
    first = pull_release()
    wider = pull_release(precision="float32")
    assert wider.size_bytes > first.size_bytes

    make_release(hub.folder / "RALI", seed=2)
    hub.commit = "b" * 40
    assert pull_release(precision="float32").weights_sha256 != wider.weights_sha256
    assert json.loads(source_path("rali").read_text())["commit"] == "b" * 40


def test_a_removed_model_leaves_no_note(hub: HubServer) -> None:
    pull_release()

    remove_model("rali")

    assert set(files_below(models_folder())) <= {"default", "downloads/rali.lock"}


# --- going on --------------------------------------------------------------------------------------------------------


def test_a_connection_that_is_cut_is_taken_up_again_within_a_pull(hub: HubServer) -> None:
    hub.faults.cut_after["ckpt.pt"], hub.faults.cuts = 100_000, 1

    pull_release()

    assert [wanted for wanted in hub.downloads("ckpt.pt") if wanted]
    assert hub.sent["ckpt.pt"] < 1.1 * (hub.folder / "RALI/ckpt.pt").stat().st_size


def test_a_pull_that_was_killed_goes_on_where_it_stopped(hub: HubServer) -> None:
    die = "lambda p: os._exit(9) if p.file == 'ckpt.pt' and p.done_bytes > 400_000 else None"
    code = "import os; from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 4096; "
    killed = in_process(f"{code}from rali.model.pull import pull_release; pull_release(on_progress={die})")
    _out, err = killed.communicate(timeout=25)
    assert killed.returncode == 9, err
    hub.requests.clear()
    hub.sent.clear()

    pull_release()

    assert hub.downloads("model.safetensors") == []
    assert any(wanted for wanted in hub.downloads("ckpt.pt"))
    assert hub.sent["ckpt.pt"] < 0.6 * (hub.folder / "RALI/ckpt.pt").stat().st_size


def test_ctrl_c_leaves_only_what_the_next_pull_can_use(hub: HubServer) -> None:
    with pytest.raises(KeyboardInterrupt):
        pull_release(on_progress=interrupt)

    left = [name for name in files_below(models_folder()) if not name.endswith(".lock")]
    assert len([name for name in left if name.endswith(".partial")]) == 1
    assert all(name.startswith("downloads/rali/") for name in left)
    assert default_model() == "mini"
    pull_release()
    assert any(hub.downloads("ckpt.pt"))


def test_a_server_that_knows_no_ranges_costs_time_alone(hub: HubServer) -> None:
    with pytest.raises(KeyboardInterrupt):
        pull_release(on_progress=interrupt)
    hub.faults.ignore_range = True

    assert pull_release().name == "rali"


def test_a_resumed_file_that_began_wrongly_is_fetched_from_its_start(hub: HubServer) -> None:
    with pytest.raises(KeyboardInterrupt):
        pull_release(on_progress=interrupt)
    (partial,) = models_folder().glob("downloads/rali/*.partial")
    partial.write_bytes(b"\0" * partial.stat().st_size)

    assert pull_release().name == "rali"


@pytest.mark.timeout(120)  # two processes that load torch
def test_two_pulls_at_once_both_end_with_one_good_bundle(hub: HubServer) -> None:
    hub.faults.wait_s = 0.2
    both = [in_process(PULL), in_process(PULL)]
    outputs = [process.communicate(timeout=25) for process in both]

    assert [process.returncode for process in both] == [0, 0], outputs
    assert len({out for out, _ in outputs}) == 1
    assert len(hub.downloads("RALI/basis.npz")) == 1
    assert Scorer(find_model("rali"), device="cpu")
    assert not [name for name in files_below(models_folder()) if "partial" in name]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ckpt.pt", "best/config.json"])
def test_a_file_that_is_not_what_was_announced_is_deleted_and_the_old_bundle_stays(hub: HubServer, name: str) -> None:
    old = pull_release()
    make_release(hub.folder / "RALI", seed=2)
    hub.commit = "b" * 40
    content = bytearray((hub.folder / "RALI" / name).read_bytes())
    content[len(content) // 2] ^= 1
    hub.faults.other_content[name] = bytes(content)

    with pytest.raises(DamagedModelError, match=r"deleted") as caught:
        pull_release()

    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert find_model("rali") == old
    assert json.loads(source_path("rali").read_text())["commit"] == "a" * 40
    assert not [
        left for left in files_below(models_folder() / "downloads") if Path(left).name.startswith(Path(name).name)
    ]
    hub.faults.other_content.clear()
    assert pull_release().weights_sha256 != old.weights_sha256


@pytest.mark.parametrize("content", [b"gone", b"grown" * 1000])
def test_a_file_of_another_length_is_refused_until_it_is_whole(hub: HubServer, content: bytes) -> None:
    hub.faults.other_content["basis.npz"] = content

    with pytest.raises(ModelError):
        pull_release()
    assert default_model() == "mini"
    hub.faults.other_content.clear()
    assert pull_release().name == "rali"


def test_a_listed_file_that_is_not_there_is_said(hub: HubServer) -> None:
    hub.faults.missing.add("pca.pkl")

    with pytest.raises(FetchError, match=r"by hand"):
        pull_release()


def test_a_folder_that_is_no_release_any_more_is_said(hub: HubServer) -> None:
    (hub.folder / "RALI" / "ckpt.pt").unlink()

    with pytest.raises(FetchError, match=r"no longer"):
        pull_release()


def test_an_unknown_revision_and_an_unknown_name_are_said(hub: HubServer) -> None:
    with pytest.raises(FetchError, match=r"no such revision"):
        pull_release(revision="v9")
    with pytest.raises(UnknownModelError, match=r"there are: rali"):
        pull_release(name="nobody")
    assert pull_release(revision=hub.commit).name == "rali"


def test_a_server_that_is_no_hub_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/elsewhere")

    with pytest.raises(FetchError):
        pull_release()


@pytest.mark.parametrize("endpoint", ["huggingface.co", "file:///etc"])
def test_an_endpoint_that_is_no_address_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    with pytest.raises(UsageError, match=r"HF_ENDPOINT"):
        pull_release()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://nowhere.invalid", "http://127.0.0.1:port"])
def test_without_network_the_message_says_what_to_fetch_by_hand(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    with pytest.raises(FetchError) as caught:
        pull_release()

    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in (*BY_HAND, endpoint, "rali model import FOLDER --name rali"))


def test_a_proxy_is_asked_instead_of_the_hub(hub: HubServer) -> None:
    process = in_process(PULL, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=hub.url, http_proxy=hub.url)

    out, err = process.communicate(timeout=25)

    assert out.strip() == find_model("rali").weights_sha256, err
    assert find_model("rali").source.startswith("http://hub.invalid/")


def test_too_little_space_is_said_before_anything_is_fetched(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))

    with pytest.raises(ModelError, match=r"5 MB free and 68 MB are needed"):
        pull_release()

    assert not hub.sent


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_keeps_what_came(hub: HubServer) -> None:
    digest = sha256((hub.folder / "RALI/ckpt.pt").read_bytes())
    partial = models_folder() / f"downloads/rali/ckpt.pt.{digest[:16]}.partial"
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")

    with pytest.raises(ModelError, match=r"No space left") as caught:
        pull_release()

    assert "\n" not in str(caught.value)
    assert (partial.parent / "best/model.safetensors").is_file()
    assert default_model() == "mini"
    partial.unlink()
    hub.sent.clear()
    assert pull_release().name == "rali"
    assert "best/model.safetensors" not in hub.sent


# --- without the hub -------------------------------------------------------------------------------------------------


def fill_hub_cache(hub: HubServer, cache: Path) -> Path:
    """Lay the release out as huggingface_hub does: blobs, links to them, and what main stands for."""
    storage = cache / "models--ByteDance--Q-Insight"
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(hub.commit)
    (storage / "blobs").mkdir()
    for name, content in hub.files().items():
        blob = storage / "blobs" / (sha256(content) if len(content) >= 2000 else git_sha1(content))
        blob.write_bytes(content)
        link = storage / "snapshots" / hub.commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return storage


def test_what_the_hubs_own_cache_holds_is_not_fetched(hub: HubServer, own_world: Path) -> None:
    storage = fill_hub_cache(hub, own_world / "hf" / "hub")
    before = files_below(storage)

    pull_release()

    assert not hub.sent
    assert files_below(storage) == before


def test_offline_a_release_in_the_hubs_cache_is_used(hub: HubServer, own_world: Path) -> None:
    fill_hub_cache(hub, own_world / "hf" / "hub")

    process = in_process(PULL, HF_HUB_OFFLINE="1")
    out, err = process.communicate(timeout=25)

    assert process.returncode == 0, err
    assert out.strip() == find_model("rali").weights_sha256
    assert default_model() == "rali"
    assert hub.commit in find_model("rali").source
    assert not hub.requests


def test_offline_a_damaged_cache_is_refused(hub: HubServer, own_world: Path) -> None:
    storage = fill_hub_cache(hub, own_world / "hf" / "hub")
    blob = storage / "blobs" / sha256((hub.folder / "RALI/ckpt.pt").read_bytes())
    blob.write_bytes(b"\0" * blob.stat().st_size)

    _out, err = in_process(PULL, HF_HUB_OFFLINE="1").communicate(timeout=25)

    assert "rali.errors.FetchError" in err.splitlines()[-1]
    assert "damaged" in err.splitlines()[-1]


def test_offline_a_bundle_that_was_pulled_before_is_chosen_again(hub: HubServer) -> None:
    info = pull_release()
    set_default_model("mini")

    out, err = in_process(PULL, HF_HUB_OFFLINE="1").communicate(timeout=25)

    assert out.strip() == info.weights_sha256, err
    assert default_model() == "rali"


def test_offline_with_nothing_there_the_message_says_so(hub: HubServer) -> None:
    _out, err = in_process(PULL, HF_HUB_OFFLINE="1").communicate(timeout=25)

    message = err.splitlines()[-1]
    assert all(part in message for part in ("FetchError", "HF_HUB_OFFLINE", *BY_HAND))
    assert not hub.requests


def test_the_library_is_loaded_by_a_pull_alone() -> None:
    code = (
        "import sys, rali.model.pull, rali.model.hub; print({'huggingface_hub', 'filelock', 'torch'} & {*sys.modules})"
    )

    out, _err = in_process(code).communicate(timeout=25)

    assert out.strip() == "set()"
