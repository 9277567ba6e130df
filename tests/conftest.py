# Copyright (c) mmseg_semi authors.
"""Fixtures shared by all tests."""
import os

# Before torch starts its threads.
os.environ['OMP_NUM_THREADS'] = '1'

import datetime  # noqa: E402
import multiprocessing  # noqa: E402
import pickle  # noqa: E402
import tempfile  # noqa: E402
import traceback  # noqa: E402
from multiprocessing.connection import wait  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
import torch.distributed as torch_dist  # noqa: E402

torch.set_num_threads(1)

WORLD_SIZE = 2
TIMEOUT = 300  # seconds per call, the start of the processes included


def _serve(rank, rendezvous, connection):
    """Run the functions that arrive, inside a gloo group."""
    torch.set_num_threads(1)
    torch_dist.init_process_group(
        'gloo',
        init_method=f'file://{rendezvous}',
        rank=rank,
        world_size=WORLD_SIZE,
        timeout=datetime.timedelta(seconds=TIMEOUT))
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:  # the parent is gone
            break
        if not message:
            break
        try:
            function, args = pickle.loads(message)
            reply = (True, function(rank, *args))
            message = pickle.dumps(reply)
        except Exception:
            message = pickle.dumps((False, traceback.format_exc()))
        connection.send_bytes(message)
    torch_dist.destroy_process_group()


class GlooPool:
    """Processes that stay alive between tests; started by the first call.

    A failure inside a worker may leave the other one in a collective, so the
    processes are replaced after it.
    """

    def __init__(self):
        self.processes = []
        self.connections = []

    def _start(self):
        context = multiprocessing.get_context('spawn')
        self.folder = tempfile.TemporaryDirectory()
        rendezvous = os.path.join(self.folder.name, 'rendezvous')
        for rank in range(WORLD_SIZE):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(rank, rendezvous, theirs), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self.connections.append(ours)

    def __call__(self, function, *args):
        """Call ``function(rank, *args)`` on every rank.

        Args:
            function (Callable): Defined at the top level of a module.
            *args: Anything that pickles, the same for every rank.

        Returns:
            list: The results in rank order. Tensors arrive as copies.
        """
        if not self.processes:
            self._start()
        message = pickle.dumps((function, args))
        for connection in self.connections:
            connection.send_bytes(message)
        results = {}
        while len(results) < WORLD_SIZE:
            waiting = [
                self.connections[rank] for rank in range(WORLD_SIZE)
                if rank not in results
            ]
            ready = wait(waiting, timeout=TIMEOUT)
            if not ready:
                self.close(kill=True)
                pytest.fail(f'no answer within {TIMEOUT} s: is a rank missing '
                            'from a collective?')
            for connection in ready:
                rank = self.connections.index(connection)
                results[rank] = self._receive(rank, connection)
        return [results[rank] for rank in range(WORLD_SIZE)]

    def _receive(self, rank, connection):
        try:
            succeeded, result = pickle.loads(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            process = self.processes[rank]
            process.join(5)
            code = process.exitcode
            self.close(kill=True)
            pytest.fail(f'rank {rank} died with exit code {code}; its stderr '
                        'is above.')
        if not succeeded:
            self.close(kill=True)
            pytest.fail(f'rank {rank} raised:\n{result}')
        return result

    def close(self, kill=False):
        """Stop the processes."""
        for connection, process in zip(self.connections, self.processes):
            if kill:
                process.kill()
            else:
                connection.send_bytes(b'')
        for connection, process in zip(self.connections, self.processes):
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
        if self.processes:
            self.folder.cleanup()
        self.processes, self.connections = [], []


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory):
    """Facts of data do not come from, or go to, the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session')
def gloo_pool():
    """Two processes in a gloo group: ``gloo_pool(fn, *args) -> [r0, r1]``."""
    pool = GlooPool()
    yield pool
    pool.close()
