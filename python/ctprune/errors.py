"""Exceptions of ctprune: everything that is the input's or the user's fault derives from `CtpruneError`."""


class CtpruneError(Exception):
    """Base of all errors that ctprune raises on purpose; its text is one clear sentence.

    Args:
        message: One clear sentence: what was given, what is expected, what to do.
        field: The option or argument that the sentence begins with; None where it begins with something else.
            Other options in the sentence stand in backquotes.

    Attributes:
        field: The option or argument that the sentence begins with; None where it begins with something else.

    >>> ConfigError("threads 900: expected 0 (one per core) to 512", field="threads").field
    'threads'
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConfigError(CtpruneError, ValueError):
    """An option or argument that cannot be used.

    The message names options as Python does, by their fields. The command line turns them into its own spelling.
    """


class SourceError(CtpruneError, FileNotFoundError):
    """A source that is not there or holds nothing to read."""


class NetworkError(CtpruneError, RuntimeError):
    """A server that no longer answers, after many tries: the server is down, or the network."""


class ManifestError(CtpruneError, ValueError):
    """A manifest that cannot be read by this version."""


class StoreError(CtpruneError, ValueError):
    """A packed store, or embeddings of a reduction, that are damaged or of another version."""


class TaskError(CtpruneError, ValueError):
    """Labeled images that do not make a task: labels, splits and files that do not fit together."""


class OutputError(CtpruneError, OSError):
    """A result that cannot be written."""


class InUseError(OutputError):
    """A folder that another process is writing to."""


class UnreadableError(CtpruneError, ValueError):
    """A file that cannot be read, where the caller asked to stop at the first one."""


class WeightsError(CtpruneError, ValueError):
    """A file of weights that is not there, cannot be read safely, or does not fit the network."""


class EvaluationError(CtpruneError, ValueError):
    """Predictions or results that cannot be evaluated, or not be compared with each other."""


class MissingExtraError(CtpruneError, ImportError):
    """A part of ctprune needs an extra that is not installed."""


class Interrupted(CtpruneError):
    """The user stopped the work; the text says whether it was saved and how to resume."""


class TrainingError(CtpruneError, RuntimeError):
    """A training that cannot continue, such as one whose loss has become NaN."""


class EngineError(CtpruneError, RuntimeError):
    """A cluster that cannot be reached, or that loses its tasks."""
