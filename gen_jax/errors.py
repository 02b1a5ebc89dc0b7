"""What can go wrong for a user, each kind with its exit code (sysexits where they fit).

Every message is one sentence that says what was given, what was expected and what to do.
"""


class UserError(Exception):
    """Bad arguments. The command line prints the message alone, without a traceback."""

    exit_code = 2


class DataError(UserError):
    """A data set, or a file of a run, that is missing, damaged or of the wrong shape."""

    exit_code = 65


class NonFiniteError(UserError):
    """A loss, gradient or parameter that is NaN or infinite."""

    exit_code = 70


class DeviceError(UserError):
    """A kind of device that was asked for and is not there."""

    exit_code = 69


class ResourceError(UserError):
    """No memory, or no more open files."""

    exit_code = 71


class DirectoryError(UserError):
    """A directory, of a run or of data, that cannot be made or written."""

    exit_code = 73


class CheckpointError(UserError):
    """A checkpoint that cannot be written or that no good step can be read from."""

    exit_code = 74


class InUseError(UserError):
    """A run directory that another process is writing."""

    exit_code = 75


class Interrupted(UserError):
    """A signal arrived; the run was saved and can be resumed.

    The exit code is 128 and the signal's number.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
