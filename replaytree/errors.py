"""Every error replaytree raises on purpose.

* ReplayTreeError
  x InputError (also ValueError)
    + ConfigError            an option or argument with a value that cannot be used
    + DataError              a data set or folder of images that cannot be read
    + SpaceError             a layer, path or space that is not legal
    + EvaluationError        an evaluator that broke its contract
    + ModelError             a model file that cannot be used, or an export that does not equal its model
    + SearchFileError        a file that is not a complete exported search
  x WorkersLost              Ray, or a process it needs, has ended; the search can be resumed
  x StorageError
    + StorageUnavailable     the URL cannot be opened
    + DatabaseBusy           other processes would not let this one write
    + ConnectionLost         the server is gone, or cut the connection
    + DatabaseGone           the file was deleted or replaced while it was in use
    + ForeignDatabase        a file or database that replaytree did not make
    + SchemaMismatch         a database from an older or a newer replaytree
    + SearchNotFound         no search of that name
    + SearchExists           the name is taken
    + SearchHeld             another process drives the search
    + LeaseLost              another process has taken the search over
    + NodeNotFound           no such node in that search
    + CorruptTree            stored rows contradict one another
    + StateUnusable          the file of an evaluator's state is missing or is not the one that was stored

The command line turns each of these into exit code 2 and its message; a message says what is wrong, the
value, and what to do next.
"""


class ReplayTreeError(Exception):
    """Base of all errors that replaytree raises on purpose."""


class InputError(ReplayTreeError, ValueError):
    """A caller's mistake."""


class ConfigError(InputError):
    """An option or argument has a value that cannot be used."""


class DataError(InputError):
    """A data set or a folder of images cannot be read."""


class SpaceError(InputError):
    """A layer, a path or a space is not legal."""


class EvaluationError(InputError):
    """An evaluator returned something other than its contract promises."""


class ModelError(InputError):
    """A model file cannot be used, or an export does not equal its model."""


class SearchFileError(InputError):
    """A file is not a complete exported search; nothing of it was imported."""


class WorkersLost(ReplayTreeError):
    """Ray, or a process it needs, has ended; committed episodes stay, and the search can be resumed."""


class StorageError(ReplayTreeError):
    """Base of all errors about the database."""


class StorageUnavailable(StorageError):
    """The storage URL cannot be opened."""


class DatabaseBusy(StorageError):
    """Other processes kept the database locked."""


class ConnectionLost(StorageError):
    """The connection to the server was lost and could not be restored."""


class DatabaseGone(StorageError):
    """The database's file was deleted or replaced while it was in use."""


class ForeignDatabase(StorageError):
    """The file or database was not made by replaytree."""


class SchemaMismatch(StorageError):
    """The database is from an older or a newer replaytree."""


class SearchNotFound(StorageError):
    """No search of that name."""


class SearchExists(StorageError):
    """The name of a new search is taken."""


class SearchHeld(StorageError):
    """Another process drives the search."""


class LeaseLost(StorageError):
    """Another process has taken the search over."""


class NodeNotFound(StorageError):
    """No such node in that search."""


class CorruptTree(StorageError):
    """Stored rows contradict one another."""


class StateUnusable(StorageError):
    """The file of an evaluator's state is missing, or is not the one that was stored; `why` is short."""

    def __init__(self, text: str, *, why: str = "") -> None:
        super().__init__(text)
        self.why = why or text
