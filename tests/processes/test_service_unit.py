"""The systemd unit works as it is shipped: its command, with its environment, as a user who may write nothing else."""

from __future__ import annotations

import configparser
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import EXECUTABLE, gsched
from runner_rig import Runner
from waiting import LONGEST_SECONDS

from gsched.config import Configuration
from gsched.embedded import EmbeddedMongo
from gsched.errors import EmbeddedMongoUnusableError
from gsched.runner.data_directory import data_directory
from gsched.runner.exit_codes import Exit

UNIT = Path(__file__).parents[2] / "docs" / "operations" / "gsched.service"
NOBODY = pwd.getpwnam("nobody")
IS_ROOT = os.geteuid() == 0
# Where tests run, Python itself may be below a directory of root's: reading everything is what `nobody` needs there.
AS_NOBODY = (
    ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
     "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if IS_ROOT else []
)  # fmt: skip


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


@dataclass
class Service(Runner):
    """The unit's command, started as systemd starts it, with a configuration file that names no store."""

    root: Path
    state: Path

    def __post_init__(self) -> None:
        self.log = self.root / "journal"
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(self.root / "notify"))
        (self.root / "notify").chmod(0o777)
        self.systemd.settimeout(LONGEST_SECONDS)

    def start(self) -> None:
        program, *arguments = unit()["ExecStart"].split()
        assert program.endswith("/bin/gsched")
        arguments = [str(self.root / "gsched.toml") if each == "/etc/gsched.toml" else each for each in arguments]
        with self.log.open("ab") as journal:
            self.process = subprocess.Popen(
                [*AS_NOBODY, EXECUTABLE, *arguments],
                cwd=self.root, stdin=subprocess.DEVNULL, stdout=journal, stderr=journal, env=self._environment(),
                start_new_session=True,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """What systemd gives a service, and nothing of ours but which mongod there is."""
        inherited = {name: os.environ[name] for name in ("GSCHED_MONGOD",) if name in os.environ}
        return inherited | {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/nonexistent", "USER": "nobody",
            "LOGNAME": "nobody", "STATE_DIRECTORY": str(self.state), "NOTIFY_SOCKET": str(self.root / "notify"),
            "WATCHDOG_USEC": "60000000",
        }  # fmt: skip

    def hear(self, wanted: str) -> None:
        """Wait for this message to systemd."""
        while wanted not in self.systemd.recv(4096).decode().split("\n"):
            pass


@pytest.fixture
def service() -> Iterator[Service]:
    root = Path(tempfile.mkdtemp(prefix="gsched-unit-"))
    root.chmod(0o755)
    (root / "gsched.toml").write_text('[gsched]\ntimezone = "UTC"\n')
    state = root / "state"
    state.mkdir(mode=int(unit()["StateDirectoryMode"], 8))
    if IS_ROOT:
        os.chown(state, NOBODY.pw_uid, NOBODY.pw_gid)
    made = Service(root, state)
    yield made
    if hasattr(made, "process"):
        made.kill()
    made.systemd.close()
    shutil.rmtree(root)


def test_the_service_keeps_its_data_in_the_state_directory_if_its_configuration_names_no_store(service):
    service.start()
    service.hear("READY=1")
    (line,) = service.lines("store.chosen")
    assert (line["store"], line["where"]) == ("sqlite", str(service.state / "jobs.sqlite"))
    assert (service.state / "jobs.sqlite").is_file()
    assert {path.name for path in service.root.iterdir()} == {"gsched.toml", "journal", "notify", "state"}
    assert service.end(signal.SIGTERM) == Exit.OK


def test_a_state_directory_that_it_may_not_write_ends_it_for_good(service):
    if IS_ROOT:
        os.chown(service.state, 0, 0)
    else:
        service.state.chmod(0o500)
    service.start()
    code = service.end(None)
    assert str(code) in unit()["RestartPreventExitStatus"].split(), service.text()
    assert f"the data directory {service.state} cannot be used" in service.text()


@pytest.mark.skipif(not IS_ROOT, reason="root alone may read other users' data")
def test_root_does_not_use_the_services_data_whether_the_service_runs_or_not(service):
    service.start()
    service.hear("READY=1")
    refused = f"{service.state} belongs to the user {NOBODY.pw_name}; who can write there can run commands"
    while_it_runs = gsched("job", "list", STATE_DIRECTORY=str(service.state))
    assert while_it_runs.code == Exit.INVALID and refused in while_it_runs.err
    service.end(signal.SIGTERM)
    with pytest.raises(EmbeddedMongoUnusableError, match=refused):
        EmbeddedMongo(service.state)
    assert {path.stat().st_uid for path in service.state.rglob("*")} == {NOBODY.pw_uid}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_has_no_complaint_about_the_unit(tmp_path):
    text = UNIT.read_text().replace("/opt/app/venv/bin/gsched", EXECUTABLE)
    (tmp_path / "gsched.service").write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / "gsched.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- the default place of data --------------------------------------------------------------------------------------


def test_the_first_state_directory_is_the_default_place_of_data(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/gsched:/var/lib/gsched/more")
    assert data_directory(Configuration()) == Path("/var/lib/gsched")
    assert data_directory(Configuration(directory="/srv/data")) == Path("/srv/data")


@pytest.mark.parametrize(
    ("user", "variables", "place"),
    [
        (0, {}, "/var/lib/gsched"),
        (0, {"STATE_DIRECTORY": ""}, "/var/lib/gsched"),
        (1000, {"XDG_STATE_HOME": "/srv/state"}, "/srv/state/gsched"),
        (1000, {"HOME": "/home/ann"}, "/home/ann/.local/state/gsched"),
    ],
)
def test_outside_a_service_data_is_in_the_systems_or_the_users_place(monkeypatch, user, variables, place):
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.getuid", lambda: user)
    assert data_directory(Configuration()) == Path(place)
