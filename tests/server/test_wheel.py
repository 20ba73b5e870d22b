"""The wheel, installed beside the packages that it needs, serves the page without a network."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import segevolution
from segevolution import __version__

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "segevolution"
PAGE = SOURCE / "server" / "page"
# In the process that serves: whatever is not this machine is refused, and noted.
GUARD = """
import pathlib, socket
connect = socket.socket.connect
def guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        pathlib.Path({note!r}).write_text(str(address))
        raise OSError("no network here")
    return connect(self, address)
socket.socket.connect = guarded
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the repository."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", str(folder), *options, "-w", str(folder / "dist")]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_page_the_weights_the_recipes_and_their_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    data = [
        path
        for pattern in ("server/page/**/*", "weights/**/*", "studies/recipes/*", "pretraining/trainings/*", "py.typed")
        for path in SOURCE.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(data) > 60
    missing = [
        path.name for path in data if held.get(f"segevolution/{path.relative_to(SOURCE)}") != path.stat().st_size
    ]
    assert missing == []
    assert f"segevolution-{__version__}.dist-info/licenses/LICENSE" in held
    assert "segevolution/server/page/vendor/niivue/LICENSE" in held
    assert not [name for name in held if name.startswith("tests/") or "__pycache__" in name]


@pytest.fixture(scope="module")
def served(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server from the wheel in an environment of its own, and where it would note a call outside."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    inner = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    packages = Path(inner.stdout.strip())
    outside = {sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))}
    (packages / "outside.pth").write_text("\n".join(sorted(outside)) + "\n", encoding="utf-8")
    (packages / "sitecustomize.py").write_text(GUARD.format(note=str(folder / "outside")), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | dead
    where = subprocess.run(
        [python, "-c", "import segevolution; print(segevolution.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert where.stdout.startswith(str(packages))
    assert not where.stdout.startswith(str(Path(segevolution.__file__).parent))
    command = [folder / "env" / "bin" / "segevolution", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                yield found.group(), folder / "outside"
                break
        else:
            pytest.fail(f"the server did not begin: {said}")
        process.terminate()


def fetched(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as reply:
        return bytes(reply.read())


def test_every_asset_of_the_page_is_served_from_the_wheel(served: tuple[str, Path]) -> None:
    url, outside = served
    html = fetched(f"{url}/").decode("utf-8")
    wanted = [name.removeprefix("./").removeprefix("/") for name in re.findall(r'(?:src|href)="([^"#]+)"', html)]
    seen: dict[str, bytes] = {}
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen[name] = fetched(f"{url}/{name}")
        if name.endswith(".js") and name.startswith("js/"):
            wanted += [f"js/{each}" for each in re.findall(r'from "\./([^"]+)"', seen[name].decode("utf-8"))]
    assert len(seen) > 20
    assert {name for name in seen if "niivue" in name}
    for name, content in seen.items():
        assert content == (PAGE / name).read_bytes(), name
    assert b"segvol-mini-3" in fetched(f"{url}/api/adapters")
    assert not outside.exists()
