"""The `sanpose` command. Each command's module is imported only when it is called."""

from __future__ import annotations

import io
import os
import sys

import click

from cluster.errors import ClusterError
from sanpose import __version__
from sanpose.cli.lazy import LazyGroup
from sanpose.errors import StoppedError, TrainingFailedError, UserError


@click.group(
    cls=LazyGroup,
    lazy={
        "data": ("sanpose.cli.data:data", "Prepare, check and synthesise data."),
        "train": ("sanpose.cli.train:train", "Train one network: overrides, or resume=<run id>."),
        "tune": ("sanpose.cli.tune:tune", "Run a sweep: sweep=table1, delta_init, ..., or a YAML file."),
        "submit": ("sanpose.cli.submit:submit", "Give a training or a sweep to Slurm: submit train ... cluster=NAME."),
        "logs": ("sanpose.cli.logs:logs", "Show what a job has printed; --follow stays."),
        "cancel": ("sanpose.cli.cancel:cancel", "Cancel a job, or all of them."),
        "resubmit": ("sanpose.cli.resubmit:resubmit", "Submit a job again, with the code that it had."),
        "doctor": ("sanpose.cli.doctor:doctor", "Check this machine, and a cluster's nodes."),
        "relationship": ("sanpose.cli.relationship:relationship", "Map how alike joints are (the paper's Figure 3)."),
        "evaluate": ("sanpose.cli.evaluate:evaluate", "Evaluate a trained run: run=<run id>."),
        "report": ("sanpose.cli.report:report", "Rebuild the paper's tables from the recorded runs."),
        "status": ("sanpose.cli.status:status", "Show what becomes of sweeps and runs."),
        "dashboard": ("sanpose.cli.dashboard:dashboard", "Show the same as a live page in a browser."),
        "predict": ("sanpose.cli.predict:predict", "Estimate the poses of people in images."),
        "export": ("sanpose.cli.export:export", "Write a run's weights as safetensors and ONNX."),
        "metrics": ("sanpose.cli.metrics:metrics", "Score anyone's prediction file."),
        "complexity": ("sanpose.cli.complexity:complexity", "Count parameters and operations (Table 2)."),
    },
)
@click.version_option(__version__, prog_name="sanpose")
def cli() -> None:
    """Train, evaluate and report the self-attention network (SAN) for 2D and 3D human pose."""


def main() -> None:
    """The console script: a UserError, a refused argument, or what the system refuses (a folder that cannot be written
    to, a full disk) ends in exit code 2, Ctrl-C in 130, a stop that was asked for in 75."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name or a reason may hold what no encoding has a code for
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(standalone_mode=False)
    except (UserError, ClusterError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except StoppedError as stopped:
        click.echo(f"{stopped}; the same command goes on", err=True)
        sys.exit(75)
    except TrainingFailedError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except OSError as error:  # click has dealt with a closed pipe
        click.echo(f"error: {_refused(error)}", err=True)
        sys.exit(2)


def _refused(error: OSError) -> UserError:
    """What the operating system has said, as a message."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return UserError(
        f"the system refuses: {error.strerror or error}",
        where=" -> ".join(names) or None,
        hint="another path; or look at its permissions, and at the room on its disk",
    )
