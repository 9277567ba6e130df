# Copyright (c) mmseg_semi authors.
"""A headless Chromium, driven through pipes by its DevTools protocol."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = next(
    filter(
        None,
        map(shutil.which,
            ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))),
    None)
_TIMEOUT = 60  # seconds for an answer
_READ, _WRITE = 3, 4  # descriptors that Chromium reads from and writes to


class Browser:
    """One page in a browser without network. A context manager.

    Attributes:
        events (list[dict]): Everything that the browser reported.
    """

    def __init__(self):
        self.events = []
        self._number = 0
        self._rest = b''

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def arrange():
            # By way of numbers above: one may already be the other's.
            ours = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(ours[0], _READ)
            os.dup2(ours[1], _WRITE)

        self._process = subprocess.Popen([
            CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run',
            '--remote-debugging-pipe', f'--user-data-dir={self._profile.name}',
            'about:blank'
        ],
                                         close_fds=False,
                                         preexec_fn=arrange,
                                         stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = None
        target = next(
            t for t in self('Target.getTargets')['targetInfos']
            if t['type'] == 'page')
        self._session = self(
            'Target.attachToTarget', targetId=target['targetId'],
            flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self(f'{domain}.enable')
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def __call__(self, method, **params):
        """Send a command and give its result."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']
            self.events.append(answer)

    def _receive(self):
        end = time.monotonic() + _TIMEOUT
        while b'\0' not in self._rest:
            left = end - time.monotonic()
            assert left > 0 and select.select([self._in], [], [], left)[0], \
                'Chromium does not answer'
            data = os.read(self._in, 2**20)
            assert data, 'Chromium ended'
            self._rest += data
        message, self._rest = self._rest.split(b'\0', 1)
        return json.loads(message)

    def open(self, path, width, dark=False):
        """Show a file in a window of some width."""
        self.events.clear()
        self(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600)
        self(
            'Emulation.setEmulatedMedia',
            features=[
                dict(
                    name='prefers-color-scheme',
                    value='dark' if dark else 'light')
            ])
        self('Page.navigate', url=path.resolve().as_uri())
        end = time.monotonic() + _TIMEOUT
        while not any(
                e.get('method') == 'Page.loadEventFired' for e in self.events):
            assert time.monotonic() < end, 'the page does not load'
            self.events.append(self._receive())

    def run(self, script):
        """Value of an expression of JavaScript in the page."""
        found = self(
            'Runtime.evaluate',
            expression=script,
            returnByValue=True,
            awaitPromise=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def screenshot(self, path, most=12000):
        """The whole page as PNG, cut at some height."""
        size = self('Page.getLayoutMetrics')['cssContentSize']
        clip = dict(
            x=0,
            y=0,
            scale=1,
            width=size['width'],
            height=min(size['height'], most))
        data = self(
            'Page.captureScreenshot', captureBeyondViewport=True,
            clip=clip)['data']
        path.write_bytes(base64.b64decode(data))

    def complaints(self):
        """What the console has of errors and warnings."""
        return [
            event for event in self.events
            if event.get('method') == 'Runtime.exceptionThrown'
            or event.get('method') == 'Runtime.consoleAPICalled'
            and event['params']['type'] in ('error', 'warning', 'assert')
            or event.get('method') == 'Log.entryAdded'
        ]

    def requests(self):
        """Addresses that were asked for, those inside the page apart."""
        urls = [
            event['params']['request']['url'] for event in self.events
            if event.get('method') == 'Network.requestWillBeSent'
        ]
        return [url for url in urls if not url.startswith('data:')]
