"""The `sanpose` command. A command's module is imported only when the command is called."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from sanpose import __version__
from sanpose.cli.lazy import LazyGroup
from sanpose.errors import StoppedError, TrainingFailedError, UserError
from sanpose.training.own_packages import import_own_packages


@click.group(
    cls=LazyGroup,
    lazy={
        "data": ("sanpose.cli.data:data", "Prepare, check and synthesise data."),
        "train": ("sanpose.cli.train:train", "Train one network: overrides, or resume=<run id>."),
        "tune": ("sanpose.cli.tune:tune", "Run a sweep: sweep=table1, delta_init, ..., or a YAML file."),
        "submit": (
            "sanpose.cli.submit:submit",
            "Submit a training or a sweep to Slurm: submit train ... cluster=NAME.",
        ),
        "logs": ("sanpose.cli.logs:logs", "Show the output of a job; --follow waits for more."),
        "cancel": ("sanpose.cli.cancel:cancel", "Cancel a job, or all jobs."),
        "resubmit": ("sanpose.cli.resubmit:resubmit", "Submit a job again, with the same code."),
        "doctor": ("sanpose.cli.doctor:doctor", "Check this machine, and the nodes of a cluster."),
        "relationship": (
            "sanpose.cli.relationship:relationship",
            "Measure the similarity of joints (the paper's Figure 3).",
        ),
        "evaluate": ("sanpose.cli.evaluate:evaluate", "Evaluate a trained run: run=<run id>."),
        "report": ("sanpose.cli.report:report", "Rebuild the paper's tables from the recorded runs."),
        "bundle": ("sanpose.cli.bundle:bundle", "Pack a sweep's records and tables, for others to check."),
        "verify": ("sanpose.cli.verify:verify", "Rebuild a bundle's tables from its records, and compare."),
        "restore": ("sanpose.cli.restore:restore", "Copy a bundle's runs into a folder of runs."),
        "status": ("sanpose.cli.status:status", "Show the state of sweeps and runs."),
        "dashboard": (
            "sanpose.cli.dashboard:dashboard",
            "Show the state of sweeps and runs as a live page in a browser.",
        ),
        "predict": ("sanpose.cli.predict:predict", "Estimate the poses of people in images."),
        "export": ("sanpose.cli.export:export", "Write a run's weights as safetensors and ONNX."),
        "metrics": ("sanpose.cli.metrics:metrics", "Score a prediction file of any program."),
        "complexity": ("sanpose.cli.complexity:complexity", "Count parameters and operations (Table 2)."),
    },
)
@click.version_option(__version__, prog_name="sanpose")
def cli() -> None:
    """Train, evaluate and report the self-attention network (SAN) for 2D and 3D human pose."""


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale has another encoding: Ray cannot be given a path whose
    letters are not UTF-8."""
    if sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        # The option acts here, even with `python -I`; the variable acts in Ray's processes.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _have_home() -> None:
    """Name a home folder where the system knows none, as in a container without an entry for the user: Ray and torch
    ask for a home when they are imported."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


def main() -> None:
    """The console script. Exit code 2: a UserError, a wrong argument, an error of the operating system (such as a full
    disk); 1: a failed training; 75: a stop on request; 130: Ctrl-C."""
    _speak_utf8()
    _have_home()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold bytes that no encoding can print
            stream.reconfigure(errors="backslashreplace")
    try:
        import_own_packages()
    except UserError as error:
        _end(error)
    from cluster.errors import ClusterError

    try:
        cli.main(standalone_mode=False)
    except (UserError, ClusterError) as error:
        _end(error)
    except StoppedError as stopped:
        click.echo(f"{stopped}; run the same command again to resume", err=True)
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
    except OSError as error:  # click handles a closed pipe itself
        _end(_system_error(error))


def _end(error: Exception) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(2)


def _system_error(error: OSError) -> UserError:
    """An error of the operating system as a message."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return UserError(
        f"the operating system reports an error: {error.strerror or error}",
        where=" -> ".join(names) or None,
        hint="use another path, or check the permissions and the free space of its disk",
    )
