"""`rgw-admin orphans`: what nothing reaches any more. Unlike radosgw-admin's, a job keeps its notes in a file, and can remove what it found."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.orphans import OrphanJob, data_pools, jobs, report
from rgw.errors import S3Error

folder_option = click.option("--job-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("."), show_default=True,
                             help="Where jobs keep their notes.")


@click.group()
def orphans() -> None:
    """RADOS objects that no object, upload or garbage reaches."""


@orphans.command("find")
@store_options
@click.option("--pool", default="", help="The data pool to search; not needed where there is one only.")
@click.option("--job-id", help="The job to start, or to resume.")
@click.option("--orphan-stale-secs", "stale", type=click.IntRange(0), default=86400, show_default=True,
              help="Objects changed within that many seconds before the job's start are left alone.")
@click.option("--yes-i-really-mean-it", "remove", is_flag=True, help="Remove what the job found. Look at its report first.")
@folder_option
@asynchronous
async def find(pool: str, job_id: str | None, stale: int, remove: bool, job_dir: Path) -> None:
    """Finds orphans and prints bytes and objects by cause and bucket. Broken off, it goes on with the same --job-id."""
    if remove and not job_id:
        raise click.UsageError("--yes-i-really-mean-it removes what a job found: name it with --job-id")
    path = OrphanJob.place(job_dir, job_id or time.strftime("%Y%m%d-%H%M%S"))
    job = path.name.removeprefix("orphans.").removesuffix(".db")
    progress = output.Progress(f"go on with --job-id {job}")
    async with gateway(current()) as gw:
        if not pool and not path.exists():
            pools = data_pools(gw)
            if len(pools) != 1:
                raise click.UsageError(f"name one of the data pools with --pool: {', '.join(pools)}")
            (pool,) = pools
        if remove and not path.exists():
            raise S3Error("InvalidArgument", f"there is no job {job_id}")
        with closing(OrphanJob(path, pool, stale)) as notes:
            if remove and notes.step != "done":
                raise S3Error("InvalidArgument", f"the job {job_id} has not come to its end: run it without --yes-i-really-mean-it first")
            click.echo(f"job {job}, notes in {path}", err=True)
            await notes.run(gw, progress)
            if remove:
                await notes.remove(gw, progress)
            progress.end()
            output.show(report(notes))


@orphans.command("list-jobs")
@store_options
@folder_option
def list_jobs(job_dir: Path) -> None:
    """Lists the jobs whose notes are there."""
    output.show(jobs(job_dir))


@orphans.command("finish")
@store_options
@click.option("--job-id", required=True)
@folder_option
def finish(job_id: str, job_dir: Path) -> None:
    """Forgets a job: removes its notes, nothing else."""
    path = OrphanJob.place(job_dir, job_id)
    if not path.exists():
        raise click.ClickException(f"there is no job {job_id} in {job_dir}")
    path.unlink()
