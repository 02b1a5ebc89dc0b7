"""Submits the runs of a study to SLURM as one array, through submitit (the extra `slurm`)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gen_jax.errors import UserError
from gen_jax.study.place import Place
from gen_jax.study.play import Job, Player

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

RESTARTS = 1000  # of a run whose time ended; it goes on from its checkpoint each time


@dataclasses.dataclass
class Submitted:
    """What one element of the array does: play one job, and save it before its time ends."""

    job: Job
    place: Place
    player: Player | None = None

    def __call__(self) -> None:
        """Play the job; raises RuntimeError, so that the scheduler knows too, if it fails."""
        self.player = Player(self.place, at_a_time=1, minutes=None, accelerator=True)
        if code := self.player.play([self.job], 0, 1):
            raise RuntimeError(f"{self.job.name} ended with exit code {code}: see its output.")

    def checkpoint(self) -> "DelayedSubmission":
        """Save the run and return what goes on with it; submitit calls this near the end of time."""
        from submitit.helpers import DelayedSubmission

        if self.player:
            self.player.stop()
        return DelayedSubmission(Submitted(self.job, self.place))


def submit(
    jobs: Sequence[Job],
    place: Place,
    *,
    cluster: str,
    at_a_time: int,
    minutes: float | None,
    parameters: Mapping[str, str],
) -> list[Any]:
    """Submit jobs as one array and return submitit's jobs.

    `cluster` is slurm, or local for processes of this machine. `parameters` are sbatch's options,
    such as {"partition": "gpu", "gpus_per_node": "1"}. Raises UserError if submitit is missing or
    refuses them.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "--submit needs the package submitit: pip install -e '.[slurm]', or submitit."
        ) from error
    absolute = Place(place.runs.absolute(), place.results.absolute())
    try:
        executor = submitit.AutoExecutor(
            absolute.runs / "submitted", cluster=cluster, slurm_max_num_timeout=RESTARTS
        )
        known = {name: int(text) if text.isdecimal() else text for name, text in parameters.items()}
        executor.update_parameters(
            name="gen_jax",
            timeout_min=int(minutes or 60),
            slurm_array_parallelism=at_a_time,
            **{f"slurm_{name}": value for name, value in known.items()},
        )
        with executor.batch():
            return [executor.submit(Submitted(job, absolute)) for job in jobs]
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
        raise UserError(f"submitit refuses: {str(error).splitlines()[0]}") from error
