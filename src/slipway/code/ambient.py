"""Which names of libraries read the clock, draw random numbers that nothing fixes, or read what nobody sees.

How long something took (`time.perf_counter`, `time.monotonic`) is not the clock: it tells nothing of the time of day, and
what is measured so is there to be shown.
"""

__all__ = ["fixes_seed", "is_random", "reads_clock", "reads_docs", "reads_unseen"]

_MANY = 99
# Name -> the greatest number of arguments with which it reads the clock: a time that is given is only converted.
_CLOCK = {
    "datetime.date.today": _MANY,
    "datetime.datetime.now": _MANY,
    "datetime.datetime.today": _MANY,
    "datetime.datetime.utcnow": _MANY,
    "email.utils.formatdate": 0,
    "email.utils.localtime": 0,
    "numpy.datetime64.now": _MANY,
    "numpy.datetime64.today": _MANY,
    "pandas.Period.now": _MANY,
    "pandas.Timestamp.now": _MANY,
    "pandas.Timestamp.today": _MANY,
    "pandas.Timestamp.utcnow": _MANY,
    "pandas.to_datetime.now": _MANY,
    "pandas.to_datetime.today": _MANY,
    "time.asctime": 0,
    "time.clock_gettime": _MANY,
    "time.clock_gettime_ns": _MANY,
    "time.ctime": 0,
    "time.gmtime": 0,
    "time.localtime": 0,
    "time.strftime": 1,
    "time.time": _MANY,
    "time.time_ns": _MANY,
    "uuid.uuid1": _MANY,
}
_MAKES_GENERATOR = frozenset({"numpy.random.RandomState", "numpy.random.default_rng", "random.Random"})
_SEEDS = frozenset({"numpy.random.seed", "random.seed", "torch.manual_seed"})
_ALWAYS = frozenset({"os.urandom", "random.SystemRandom", "uuid.uuid4"})
_TORCH = frozenset(
    {
        "bernoulli",
        "multinomial",
        "normal",
        "rand",
        "rand_like",
        "randint",
        "randint_like",
        "randn",
        "randn_like",
        "randperm",
    }
)
# Layers whose weights begin at random.
_LAYERS = frozenset(
    {
        "Bilinear", "Conv1d", "Conv2d", "Embedding", "EmbeddingBag", "GRU", "LSTM", "Linear", "MultiheadAttention", "RNN",
        "TransformerDecoderLayer", "TransformerEncoderLayer",
    }
)  # fmt: skip
_NO_DRAWING = frozenset({"get_bit_generator", "get_state", "getstate", "set_bit_generator", "set_state", "setstate"})


def reads_clock(name: str, arguments: int) -> bool:
    """Whether a use of a library's name reads the clock.

    Args:
        name: As "time.time".
        arguments: With how many it is called; -1 where it is handed on uncalled.
    """
    most = _CLOCK.get(name, -1)
    return arguments <= most and (arguments >= 0 or most == _MANY)


def is_random(name: str, arguments: int) -> bool:
    """Whether a use of a library's name draws numbers that no seed fixes, unless `fixes_seed` is used beside it."""
    if name in _MAKES_GENERATOR:
        return arguments == 0
    module, _, last = name.rpartition(".")
    if name in _ALWAYS or module == "secrets":
        return True
    if (module == "torch" and last in _TORCH) or (module == "torch.nn" and last in _LAYERS):
        return arguments >= 0
    drawn = module in ("random", "numpy.random") and last[:1].islower() and last not in _NO_DRAWING
    return drawn and arguments >= 0 and name not in _SEEDS


def fixes_seed(name: str, arguments: int) -> bool:
    """Whether a use of a library's name fixes the seed of the generator that all share."""
    return name in _SEEDS and arguments > 0


def reads_unseen(name: str) -> bool:
    """Whether files are read through a library's name without anybody seeing it: classes that cannot be wrapped."""
    is_system = name.startswith("pyarrow.fs.") and name.endswith(("FileSystem", "FileSystem.from_uri"))
    return is_system or name in ("pyarrow.OSFile", "pyarrow.lib.OSFile")


def reads_docs(name: str) -> bool:
    """Whether a name gives docstrings as values."""
    return name in ("__doc__", "inspect.getdoc")
