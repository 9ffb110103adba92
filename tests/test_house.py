"""The rules of the house that no linter knows: sizes, names, and arithmetic that is equal on every machine."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "service" / "dhpe"
LINES_MAX = 400
DRAWERS = re.compile(r"^_?(utils?|common|helpers?|core|misc|base|stuff|lib|managers?|handlers?|processors?)$")
VAGUE_CLASS = re.compile(r"(Manager|Handler|Helper|Processor|Util|Utils|Impl|Base)$")

CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
# numpy picks other instructions on other CPUs for these, and so other last bits.
CPU_DEPENDENT = frozenset(
    "exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh "
    "arctanh power float_power cbrt hypot logaddexp logaddexp2 sum nansum mean nanmean average std nanstd var nanvar "
    "prod nanprod cumsum cumprod nancumsum dot vdot inner outer matmul tensordot einsum convolve correlate corrcoef "
    "cov trapezoid interp median nanmedian percentile quantile polyfit polyval".split()
)
CPU_DEPENDENT_METHODS = frozenset("sum mean std var prod cumsum cumprod".split())
CPU_DEPENDENT_MODULES = frozenset(("linalg", "fft", "polynomial", "random"))
READING_ONLY = frozenset(("potential.py",))  # its FFT is for reading: no alert depends on it


def sources(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> Iterator[Path]:
    """Our own source files; what others wrote and we carry along stands in folders named vendor."""
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.suffix in suffixes and "vendor" not in path.parts and "__pycache__" not in path.parts:
                yield path


def rooms_below_the_edge() -> set[str]:
    """The modules of all floors under the settings, as the import contract names them."""
    layers = CONTRACTS[0]["layers"]
    floors = layers[layers.index("(model_settings)") + 1 :]
    return {room.strip(" ()") for floor in floors for room in floor.split("|")}


def below_the_edge() -> list[Path]:
    """The files of the floors whose arithmetic has to be bit-equal."""
    rooms = rooms_below_the_edge()
    return [path for path in sources("service/dhpe") if path.relative_to(PACKAGE).with_suffix("").parts[0] in rooms]


def cpu_dependent(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and spelling of every use of arithmetic whose last bits depend on the CPU."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.lineno, "@"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
            if node.attr in CPU_DEPENDENT | CPU_DEPENDENT_MODULES:
                yield node.lineno, f"np.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "dot" or (node.func.attr in CPU_DEPENDENT_METHODS and not node.args):
                yield node.lineno, f".{node.func.attr}()"
        elif isinstance(node, ast.keyword) and node.arg in ("parallel", "fastmath"):
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield node.value.lineno, f"{node.arg}=…"
        elif isinstance(node, ast.Name) and node.id == "prange":
            yield node.lineno, "prange"


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    """Files have at most 400 lines, in every language."""
    files = sources("service", "tests", "deploy", suffixes=(".py", ".js", ".css", ".html", ".sh"))
    long = {str(path.relative_to(PROJECT)): count for path in files if (count := lines(path)) > LINES_MAX}
    assert not long


def test_no_module_is_a_drawer() -> None:
    """Files and folders are named after what lives in them."""
    drawers = [
        str(path.relative_to(PROJECT))
        for path in sources("service")
        if any(DRAWERS.match(part) for part in path.relative_to(PROJECT).with_suffix("").parts)
    ]
    assert not drawers


def test_no_class_is_a_manager() -> None:
    """Classes are nouns of the market or of the service, not roles of other classes."""
    vague = [
        f"{path.relative_to(PROJECT)}: {node.name}"
        for path in sources("service")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.search(node.name)
    ]
    assert not vague


def test_every_room_below_the_edge_is_kept_from_the_world() -> None:
    """The contract of forbidden imports names every module that the contract of floors puts below the settings."""
    there = {room for room in rooms_below_the_edge() if list(PACKAGE.glob(f"{room}*"))}
    assert {f"dhpe.{room}" for room in there} == set(CONTRACTS[1]["source_modules"])


def test_the_model_computes_the_same_bits_on_every_cpu() -> None:
    """Below the edge there are numba loops only: no numpy transcendental, dot product or reduction, no parallel."""
    files = below_the_edge()
    assert len(files) > 5, "the floors below the edge were not found"
    found = [
        f"{path.relative_to(PROJECT)}:{line}: {spelling}"
        for path in files
        if path.name not in READING_ONLY
        for line, spelling in cpu_dependent(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "np.exp(x)",
        "x @ y",
        "np.linalg.solve(a, b)",
        "x.sum()",
        "x.dot(y)",
        "njit(parallel=True)",
        "for i in prange(3): pass",
    ],
)
def test_the_bit_rule_sees_what_it_forbids(code: str) -> None:
    """The rule itself is tested, or it would pass by being blind."""
    assert list(cpu_dependent(ast.parse(code)))


@pytest.mark.parametrize("code", ["math.exp(x)", "x + y", "np.empty(3)", "x.max()", "njit(parallel=False)", "sum(x)"])
def test_the_bit_rule_lets_exact_arithmetic_pass(code: str) -> None:
    """Scalar functions of the C library and order-free operations stay allowed."""
    assert not list(cpu_dependent(ast.parse(code)))


def test_the_locks_hold_hashes_and_no_addresses() -> None:
    """Packages come from the index that the user's own pip configuration names, and every file has a hash."""
    for lock in sorted((PROJECT / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        assert not re.search(r"^-", text, flags=re.MULTILINE), f"{lock.name}: options such as --index-url"
        pinned = re.findall(r"^\S+==\S+.*(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+", text, flags=re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[A-Za-z]", text, flags=re.MULTILINE)) > 0, lock.name


def test_the_run_lock_has_no_heavy_guests() -> None:
    """What the image installs stays small: no pandas, scipy or pyarrow at run time."""
    names = set(re.findall(r"^([\w-]+)==", (PROJECT / "requirements/run.txt").read_text("utf-8"), flags=re.MULTILINE))
    assert names.isdisjoint({"pandas", "scipy", "pyarrow", "matplotlib"})
    assert names >= {"aiokafka", "msgspec", "numba", "numpy", "fastapi"}


def lines(path: Path) -> int:
    """Lines of a text file."""
    return len(path.read_text(encoding="utf-8").splitlines())
