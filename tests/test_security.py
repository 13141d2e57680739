"""What the whole of the code never does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for room in ("scaling", "analysis", "jobs")
    for path in sorted((ROOT / room).rglob("*.py"))
}
CALLS = [
    (file, node)
    for file, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.Call)
]


def test_no_shell_ever() -> None:
    found = [
        f"{file}:{call.lineno}"
        for file, call in CALLS
        if any(keyword.arg == "shell" for keyword in call.keywords)
        or re.fullmatch(
            r"os\.(system|popen|exec\w+|spawn\w+)|eval|exec|subprocess\.getoutput",
            ast.unparse(call.func),
        )
    ]
    assert found == []


def test_no_code_of_a_checkpoint_or_of_a_data_set() -> None:
    """Weights come as tensors, tokenizers as data, and rows by our own readers."""
    named = re.compile(r"AutoModel\w*|AutoTokenizer|load_dataset|Unpickler")
    found = [
        f"{file}: {name}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        for name in (getattr(node, "id", ""), getattr(node, "attr", ""))
        if named.fullmatch(name)
    ]
    assert found == []
    loads = 0
    for file, call in CALLS:
        words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert words.get("trust_remote_code", "False") == "False", f"{file}:{call.lineno}"
        assert ast.unparse(call.func) not in ("pickle.load", "pickle.loads"), file
        if ast.unparse(call.func) == "torch.load":
            loads += 1
            assert words.get("weights_only") == "True", f"{file}:{call.lineno}"
    assert loads == 2


def test_the_environment_is_written_nowhere() -> None:
    """Secrets of who submits stay there: names are looked up, the whole is never handed on."""
    # Processes of our own on this machine inherit it.
    inherited = {
        id(keyword.value) for _, call in CALLS for keyword in call.keywords if keyword.arg == "env"
    }
    found = [
        f"{file}:{child.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        # os.environ[...], os.environ.get(...), name in os.environ
        if not isinstance(node, ast.Subscript | ast.Attribute | ast.Compare)
        and id(node) not in inherited
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.Attribute) and child.attr == "environ"
    ]
    assert found == []
    jobs = [call for _, call in CALLS if ast.unparse(call.func).endswith(".submit_job")]
    assert len(jobs) == 2
    assert all("env_vars" not in ast.unparse(call) for call in jobs)
    assert "env_vars" not in ast.unparse(TREES["scaling/cluster/submit.py"])
