"""The Dockerfile: linted, every package by hash, nothing invented; and its steps in a root of their
own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement

from scaling.cluster.check import wanted_versions

ROOT = Path(__file__).parents[1]
DOCKERFILE, LOCKS = ROOT / "Dockerfile", ROOT / "requirements"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def steps() -> list[tuple[str, str, str]]:
    """(stage, instruction, value), in order."""
    found, stage = [], ""
    with DOCKERFILE.open("rb") as file:
        parsed = DockerfileParser(fileobj=file)
        for entry in parsed.structure:
            if entry["instruction"] == "FROM":
                stage = entry["value"].split()[-1]
            if entry["instruction"] != "COMMENT":
                found.append((stage, entry["instruction"], entry["value"]))
    return found


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    def lint(path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(HADOLINT), str(path)], capture_output=True, text=True)

    assert lint(DOCKERFILE).stdout == ""
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.read_text() + "RUN cd /srv && pip install ray\n")
    assert "DL3013" in lint(spoilt).stdout


def test_packages_come_by_hash_and_the_user_is_not_root() -> None:
    run = [(stage, value) for stage, what, value in steps() if what == "RUN"]
    installs = [one for _, value in run for one in value.split("&&") if " pip install " in one]
    assert len(installs) == 6
    for one in installs:
        assert "--no-deps" in one and ("--require-hashes" in one or "--no-index" in one)
    for stage in ("cpu", "cuda"):
        users = [value for one, what, value in steps() if (one, what) == (stage, "USER")]
        assert users == ["1000:1000"]
    # The base and PyTorch's own wheel have no default: their digests are the user's to look up.
    assert [value for _, what, value in steps() if what == "ARG"] == ["BASE", "TORCH"]
    assert not re.search(r"sha256:[0-9a-f]{8}", DOCKERFILE.read_text())


def locked() -> dict[str, str]:
    """Package → version of the image's three lists; each has a hash."""
    found = {}
    for path in (LOCKS / f"{name}.txt" for name in ("base", "cuda", "source")):
        for entry in re.split(r"\n(?=\S)", path.read_text().strip()):
            name, version = re.match(r"([\w.-]+)==([\w.+-]+) \\", entry).groups()  # type: ignore[union-attr]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"{path.name}: {name}"
            assert name not in found
            found[name] = version
    return found


def test_what_is_locked_is_what_is_pinned_and_all_of_it() -> None:
    versions = locked()
    for name, version in wanted_versions(ROOT / "pyproject.toml").items():
        assert versions[name] == version, name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["run"]]
    assert {re.split(r"[=><\[]", line)[0] for line in asked} <= set(versions)
    cuda = (LOCKS / "cuda.txt").read_text()
    assert "torch==" in cuda and "nvidia-nccl" in cuda
    assert "torch==" not in (LOCKS / "base.txt").read_text()


def run_with() -> dict[str, str]:
    """Package → version of what the tests run with."""
    lines = (LOCKS / "ci.txt").read_text().split()
    return dict(line.split("==") for line in lines)


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    ours = run_with()
    assert {name: ours[name] for name in locked() if name in ours} == {
        name: version for name, version in locked().items() if name in ours
    }
    # The image alone builds packages.
    assert set(locked()) - set(ours) <= {"wheel", "ninja"}


def test_everything_that_the_tests_install_is_locked_and_make_uses_the_lock() -> None:
    ours = run_with()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in ("run", "demo", "dev")]
    for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        wanted = Requirement(line)
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert wanted.specifier.contains(ours[name]), line
    recipe = (ROOT / "Makefile").read_text().partition("$(VENV)/.installed: ")[2]
    installs = [line for line in recipe.partition("\n\n")[0].splitlines() if "pip install" in line]
    # torch alone and before everything: the build that is chosen for a machine stays.
    assert installs[0].endswith("torch==2.13.0") and len(installs) == 2
    assert all("-c requirements/ci.txt" in line for line in installs)


def test_both_files_name_the_images_of_the_two_targets_by_digest() -> None:
    launcher = yaml.safe_load((ROOT / "cluster.yaml").read_text())["docker"]
    manifest = (ROOT / "jobs" / "rayjob.yaml").read_text()
    named = {launcher["image"], launcher["worker_image"], *re.findall(r"image: (\S+)", manifest)}
    targets = {stage for stage, what, _ in steps() if what == "USER"}
    assert named == {f"REGISTRY/stilts-scaling-{target}@sha256:DIGEST" for target in targets}


def test_the_daemon_is_sent_what_is_copied_and_nothing_else() -> None:
    kept = {
        line.removeprefix("!").partition("/")[0]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        part.partition("/")[0]
        for _, what, value in steps()
        if what == "COPY"
        for part in value.split()[:-1]
    }
    assert kept == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)
def test_the_steps_of_the_cpu_target_run_in_a_root_of_their_own(tmp_path: Path) -> None:
    """No daemon: this machine's root below a layer in memory that the steps write to.

    The base is therefore this machine's Python and not Debian's image; pip is configured as here.
    """
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(os.path.realpath(shutil.which(python, path=sys.base_prefix + "/bin") or python))
    fetch = [str(base), "-m", "pip", "download", "--no-deps", "-q", "-d", str(tmp_path)]
    subprocess.run([*fetch, f"torch=={locked()['torch']}"], check=True, timeout=600)
    (wheel,) = tmp_path.glob("torch-*.whl")
    packages = base.parents[1] / "lib" / python / "site-packages"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines = [
        "set -euo pipefail",
        "layer=$1",
        "mount -t tmpfs -o size=6g none $layer",
        "mkdir -p $layer/up $layer/work $layer/root",
        "mount -t overlay overlay -o lowerdir=/,upperdir=$layer/up,workdir=$layer/work $layer/root",
        "mount -t proc none $layer/root/proc; mount --bind /dev $layer/root/dev",
        f"mkdir -p $layer/root/context && cp {wheel} $layer/root/context/",
        # A bare Python: packages of this machine must not stand in for those of the lists.
        f"find $layer/root{packages} -mindepth 1 -maxdepth 1 ! -name 'pip*'"
        " \\( ! -name '*.pth' -o -name 'distutils*' \\)"
        " -exec rm -rf {} +",
    ]
    env, user, where = {"TORCH": f"file:///context/{wheel.name}#sha256={digest}"}, "", "/"
    for stage, what, value in steps():
        if stage not in ("packages", "cpu"):
            continue
        if what == "WORKDIR":
            where = value
            lines.append(f"mkdir -p $layer/root{where}")
        elif what == "ENV":
            env |= dict(part.split("=", 1) for part in shlex.split(value))
        elif what == "USER":
            user = f"--userspec={value} "
        elif what == "COPY":
            *sources, target = value.split()
            inside = f"$layer/root{where}/{target}"
            for source in sources:
                path = ROOT / source
                lines.append(
                    f"mkdir -p {inside} && cp -r {path}/. {inside}"
                    if path.is_dir()
                    else f"mkdir -p {inside} && cp {path} {inside}"
                )
        elif what == "RUN":
            exports = " ".join(f"{name}={shlex.quote(one)}" for name, one in env.items())
            body = f"cd {where} && {value}"
            lines.append(
                f"chroot {user}$layer/root /usr/bin/env HOME=/tmp PATH={base.parent}:$PATH"
                f" {exports}"
                f" /bin/bash -o pipefail -c {shlex.quote(body)}"
            )
    script = tmp_path / "steps.sh"
    script.write_text("\n".join(lines))
    layer = tmp_path / "layer"
    layer.mkdir()
    done = subprocess.run(
        ["unshare", "-m", "bash", str(script), str(layer)],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "Successfully installed stilts-scaling" in done.stdout
    assert not (packages / "deepspeed").exists()
