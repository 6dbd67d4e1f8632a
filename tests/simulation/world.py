"""Everything in one place: replicas, database, realms, callers and admins, and the model that judges them."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulation.loop import SimulationLoop, mixed
from tests.simulation.model import Broken, Model
from tests.simulation.network import Network
from tests.simulation.product import Settings, new_network, settings_of
from tests.simulation.realms import SimRealm, Token, new_realm
from tests.simulation.replica import Replica
from tests.simulation.sqlite import DISKS, Disk
from tests.support.realms import migrated_file

EPOCH = 1_799_999_000.0  # wall seconds at loop time zero
REALMS = 7
MEMORY = Path("/dev/shm")


class World:
    """Made anew for each run. `broken` is the first promise that did not hold."""

    def __init__(self, seed: int, *, replicas: int, folder: Path) -> None:
        random.seed(seed)  # the product's jitter
        self.seed = seed
        self.path = str(folder / "registry.db")
        shutil.copy(migrated_file(), self.path)
        self.network: Network = new_network()
        self.loop = SimulationLoop(seed, machine=self.network)
        self.disk = DISKS[self.path] = Disk(self.path)
        self.realms: list[SimRealm] = [new_realm(number, now=self.loop.now) for number in range(REALMS)]
        self.network.hosts = {realm.host: realm for realm in self.realms}
        self.model = Model(self.path, now=self.loop.time, epoch=EPOCH, realms=self.realms)
        self.disk.on_commit = self._committed
        self.disk.on_fault = self._database_fault
        settings = settings_of(self.path, hosts=tuple(realm.host for realm in self.realms))
        self.replicas = [self._replica(number, settings=settings) for number in range(replicas)]
        self.tokens: list[Token] = []
        self.broken: Broken | None = None
        self.ending = False
        self.began = self.stopped = self.loop.now
        self.cuts: dict[str, int] = {}  # commits of a process that were cut: their outcome is not known to it
        self._version = self.model.version()
        self._announced = 0

    def _replica(self, number: int, *, settings: Settings) -> Replica:
        name = f"r{number}"
        return Replica(
            name,
            mixed(self.seed, "replica", number),
            settings,
            self.disk,
            self.loop,
            EPOCH,
            self.model.spans(name),
            deaf=mixed(self.seed, "deaf") % 2 == 0,
        )

    @property
    def now(self) -> float:
        return self.loop.now

    @property
    def wall(self) -> float:
        return EPOCH + self.loop.now

    def fail(self, error: Broken) -> None:
        """Keep the first promise that did not hold, and end the run."""
        if self.broken is None and not self.ending:
            self.broken = error
            self.loop.stop()

    def _committed(self, process: str) -> None:
        self.model.committed()
        try:
            self.model.check_stored()
        except Broken as error:
            self.fail(error)
        version = self.model.version()
        if version == self._version:
            return
        self._version = version
        self.loop.note(version)
        for replica in self.replicas:
            for listener in replica.listeners:
                self._announced += 1
                fate = mixed(self.seed, "notification", self._announced)
                listener.announce(version, fate=fate, loop=self.loop)

    def _database_fault(self, process: str, fault: str) -> None:
        self.model.spans(process).mark(self.now)
        if fault == "cut":
            self.cuts[process] = self.cuts.get(process, 0) + 1

    def close(self) -> None:
        self.disk.close()
        DISKS.pop(self.path, None)
        self.model.close()
        self.loop.close()


@contextmanager
def new_world(seed: int, *, replicas: int) -> Iterator[World]:
    """A world in a folder of its own, which is gone afterwards."""
    where = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=where) as folder:
        world = World(seed, replicas=replicas, folder=Path(folder))
        try:
            yield world
        finally:
            world.close()
