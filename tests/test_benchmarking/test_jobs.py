# Copyright (c) mmseg_semi authors.
import io
import sys
import time

import pytest
from rich.console import Console

from mmseg_semi.benchmarking import (FolderInUseError, TrainingJob, display,
                                     jobs, make_display, run_jobs)

# Writes scalars as a training does; argv: folder name, then Python code.
PROGRAM = '''
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1], 'vis_data')
folder.mkdir(parents=True, exist_ok=True)
def scalars(**values):
    with open(folder / 'scalars.json', 'a') as file:
        file.write(json.dumps(values) + chr(10))
exec(sys.argv[2])
'''


class Recorder:
    """A display that remembers what it was shown."""

    def __init__(self):
        self.running = []

    def update(self, all_jobs):
        self.running.append(
            {job.name
             for job in all_jobs if job.status == 'running'})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(jobs, 'POLL_SECONDS', .02)


@pytest.fixture
def make_job(tmp_path):

    def make(name, code, folder='20260101_000000'):
        work_dir = tmp_path / name
        program = [sys.executable, '-c', PROGRAM]
        return TrainingJob(name,
                           [*program, str(work_dir / folder), code], work_dir,
                           40, tmp_path)

    return make


def test_progress_is_read_from_the_scalars(make_job):
    code = ('scalars(iter=10, loss=1.); time.sleep(.3); '
            'scalars(iter=30, loss=1.); scalars(step=30, mIoU=45.5); '
            'print("the end")')
    job = make_job('a', code)
    assert (job.status, job.iteration, job.score) == ('waiting', 0, None)
    assert run_jobs([job], 1, Recorder()) == []
    assert (job.status, job.iteration, job.score) == ('done', 30, 45.5)
    assert .2 < 20 * job.seconds_per_iteration < 5
    assert job.log_tail() == 'the end'


def test_eta_is_what_is_left_at_the_present_rate(make_job, monkeypatch):
    job, now = make_job('a', ''), [100.]
    monkeypatch.setattr(jobs.time, 'monotonic', lambda: now[0])
    assert job.eta is None
    job._reports.append((100., 10))
    assert job.eta is None
    job._reports.append((110., 20))
    now[0] = 110.
    assert job.eta == 20
    now[0] = 113.
    assert job.eta == 17
    now[0] = 500.
    assert job.eta == 0


def test_half_a_line_is_waited_for(make_job):
    job = make_job('a', '')
    job._old = set()
    path = job.work_dir / '1' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('{"iter": 5}\n{"ite')
    job._read_progress()
    assert job.iteration == 5
    path.write_text('{"iter": 5}\n{"iter": 6}\n')
    job._read_progress()
    assert job.iteration == 6


def test_scalars_of_an_earlier_process_are_not_progress(make_job):
    run_jobs([make_job('a', 'scalars(iter=30)', '1')], 1, Recorder())
    job = make_job('a', 'scalars(iter=20)', '2')
    run_jobs([job], 1, Recorder())
    assert job.iteration == 20


def test_only_so_many_at_a_time(make_job):
    recorder = Recorder()
    all_jobs = [make_job(name, 'time.sleep(.2)') for name in 'abc']
    assert run_jobs(all_jobs, 2, recorder) == []
    assert max(map(len, recorder.running)) == 2
    assert {'a', 'b'} in recorder.running
    assert set().union(*recorder.running) == {'a', 'b', 'c'}


def test_threads_and_checkout_reach_the_process(make_job, tmp_path):
    job = make_job(
        'a', 'print(os.environ["OMP_NUM_THREADS"], os.getcwd(), '
        'os.environ["PYTHONPATH"].split(os.pathsep)[0])')
    run_jobs([job], 1, Recorder())
    assert job.log_tail().split() == ['1', str(tmp_path), str(tmp_path)]


def test_failure_stops_the_others(make_job):
    bad = make_job('bad', 'print("why"); sys.exit(3)')
    slow, never = make_job('slow', 'time.sleep(60)'), make_job('never', '')
    started = time.monotonic()
    assert run_jobs([bad, slow, never], 2, Recorder()) == [bad]
    assert time.monotonic() - started < 30
    assert bad.log_tail() == 'why'
    assert slow.status == 'waiting' and slow._process.poll() is not None
    assert never._process is None


def test_failure_leaves_the_others_alone_on_request(make_job):
    bad = make_job('bad', 'raise ValueError("why")')
    good = make_job('good', '')
    assert run_jobs([bad, good], 1, Recorder(), keep_going=True) == [bad]
    assert good.status == 'done'
    assert 'ValueError: why' in bad.log_tail()


def test_interrupt_ends_the_processes(make_job):

    class Interrupting:

        def update(self, all_jobs):
            if all_jobs[0].status == 'running':
                raise KeyboardInterrupt

    job = make_job('a', 'time.sleep(60)')
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], 1, Interrupting())
    assert job._process.poll() is not None


@pytest.mark.skipif(jobs.fcntl is None, reason='needs POSIX file locks')
def test_folder_is_taken_while_any_process_trains_in_it(make_job, monkeypatch):
    monkeypatch.setattr(jobs, 'PATIENCE', 0)
    job = make_job('a', 'time.sleep(60)')
    job.start()
    try:
        with pytest.raises(FolderInUseError, match='Another process trains'):
            run_jobs([make_job('a', '')], 1, Recorder())
    finally:
        job.stop()
    assert run_jobs([make_job('a', '')], 1, Recorder()) == []


@pytest.mark.skipif(jobs.fcntl is None, reason='needs POSIX file locks')
def test_folder_stays_taken_when_only_the_parent_was_killed(
        make_job, monkeypatch):
    job = make_job('a', 'time.sleep(60)')
    job.start()
    child, job._process = job._process, None
    job._end()  # as the kernel does it for a killed process
    with monkeypatch.context() as patch:
        patch.setattr(jobs, 'PATIENCE', 0)
        with pytest.raises(FolderInUseError):
            make_job('a', '').start()
    child.kill()
    child.wait()
    late = make_job('a', '')
    late.start()
    late.stop()


@pytest.mark.skipif(jobs.fcntl is None, reason='needs POSIX file locks')
def test_workers_of_a_killed_training_are_waited_for(make_job):
    late = 'import subprocess; subprocess.Popen([sys.executable, "-c", ' \
        '"import time; time.sleep(2)"], close_fds=False)'
    job = make_job('a', late)
    assert run_jobs([job], 1, Recorder()) == []
    begin = time.monotonic()
    assert run_jobs([make_job('a', '')], 1, Recorder()) == []
    assert time.monotonic() - begin > 1


def test_log_keeps_what_earlier_processes_said(make_job):
    run_jobs([make_job('a', 'print("first")')], 1, Recorder())
    job = make_job('a', 'print("second")')
    run_jobs([job], 1, Recorder())
    assert job.log_tail() == 'first\nsecond'
    assert job.log_tail(1) == 'second'


def test_lines_where_there_is_no_terminal(make_job, monkeypatch):
    monkeypatch.setattr(display, 'LINE_SECONDS', .1)
    text = io.StringIO()
    job = make_job(
        'a [x]', 'scalars(iter=10); scalars(step=10, mIoU=7.5); '
        'time.sleep(1)')
    with make_display(Console(file=text)) as shown:
        run_jobs([job, make_job('b', 'sys.exit(1)')], 2, shown, True)
    lines = text.getvalue().splitlines()
    assert any('a [x]: iteration 10/40, mIoU  7.50, ETA --:--' in line
               for line in lines)
    assert sum('a [x]: iteration 40/40, mIoU  7.50, done' in line
               for line in lines) == 1
    assert sum('b: iteration 0/40, mIoU    --, failed' in line
               for line in lines) == 1


def test_bars_in_a_terminal(make_job):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with make_display(console) as shown:
        run_jobs([make_job('a', 'scalars(iter=10)')], 1, shown)
    assert '40/40' in text.getvalue() and 'done' in text.getvalue()


@pytest.mark.parametrize('seconds, text', [(None, '--:--'), (0, '0:00'),
                                           (61.9, '1:01'), (3661, '1:01:01')])
def test_clock(seconds, text):
    assert display.clock(seconds) == text
