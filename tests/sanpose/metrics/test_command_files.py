"""Files that `sanpose metrics` cannot read: one message, exit code 2. And what it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.sanpose.metrics.scored import Run, off_by


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, "does not exist"),
        ("pred.npz", b"PK\x03\x04 cut short", "cannot be read"),
        ("pred.json", b'{"keypoints3d": [[[1, 2', "broken JSON"),
        ("pred.json", b"[1, 2]", "holds a list"),
        ("pred.json", b'{"keypoints3d": [[1, 2], [3]]}', "is ragged"),
        ("pred.json", b'{"keypoints3d": [[[null, 1, 2]]]}', "does not hold numbers"),
        ("pred.json", b'{"keypoint3d": []}', "did you mean 'keypoint3d'?"),
        ("pred.json", b"\x80abc", "cannot be read"),
        ("pred.txt", b"1 2 3", "'.txt'"),
        ("pred.mat", b"not a mat file, but long enough to have a header" * 9, "cannot be read"),
        *((f"pred.{kind}", b"\x01\x02\x03\x04" * n, "cannot be read") for kind in ("mat", "npz") for n in (0, 16, 75)),
        ("pred.h5", b"not hdf5", "cannot be read"),
    ],
)
def test_unreadable_files(
    run: Run, tmp_path: Path, h36m_h5: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / name)
    assert (code, out) == (2, "")
    assert message in err
    assert name in err


@pytest.mark.parametrize("keep", [0, 64, 127, 128, 200, 300, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["mat", "compressed.mat", "npz", "compressed.npz"])
def test_files_cut_short(run: Run, tmp_path: Path, h36m_h5: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"pred.{kind}"
    if kind.endswith("mat"):
        savemat(path, {"keypoints3d": off_by(1.0)}, do_compression="compressed" in kind)
    else:
        (np.savez_compressed if "compressed" in kind else np.savez)(path, keypoints3d=off_by(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", path)
    assert (code, out) == (2, "")
    assert "cannot be read" in err or "has no 'keypoints3d'" in err
    assert path.name in err


@pytest.mark.parametrize("share", [0.25, 0.4, 0.55, 0.7])
def test_compressed_files_overwritten(run: Run, tmp_path: Path, h36m_h5: Path, share: float) -> None:
    poses = off_by(1.0).round()  # else zlib finds nothing to compress, and stores it
    np.savez_compressed(tmp_path / "pred.npz", keypoints3d=poses)
    savemat(tmp_path / "pred.mat", {"keypoints3d": poses}, do_compression=True)
    for name in ("pred.npz", "pred.mat"):
        data = bytearray((tmp_path / name).read_bytes())
        at = int(share * len(data))
        data[at : at + 40] = b"\xff" * 40
        (tmp_path / name).write_bytes(data)
        code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / name)
        assert (code, out) == (2, "")
        assert f"the {name[4:]} file cannot be read" in err


def test_a_pickle_is_not_executed(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    np.savez(tmp_path / "pred.npz", keypoints3d=np.array([{"a": 1}], dtype=object))
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "plain arrays, nothing pickled" in err


def test_nothing_imports_torch() -> None:
    code = "import sys, sanpose.cli.metrics; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
