# Copyright (c) mmseg_semi authors.
"""Build script. It imports nothing but setuptools and the standard library,
so that it also works in pip's isolated build environment."""
import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
# What mim and MMEngine's inferencers look for inside an installed package.
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')
IGNORED = shutil.ignore_patterns('__pycache__', '*.pyc')


def read_version() -> str:
    scope = {}
    exec((ROOT / 'mmseg_semi' / 'version.py').read_text(), scope)
    return scope['__version__']


def read_requirements(name: str) -> list:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    lines = [line.split('#')[0].strip() for line in lines]
    return [line for line in lines if line]


def fill_mim_dir(package_dir: Path, link: bool) -> None:
    """Put the content for mim into ``<package_dir>/.mim``.

    Args:
        package_dir (Path): The package in the checkout or in a build folder.
        link (bool): Make relative symbolic links, so that an editable
            installation sees later changes. Where links are not allowed
            (Windows without developer mode) files are copied.
    """
    mim_dir = package_dir / '.mim'
    shutil.rmtree(mim_dir, ignore_errors=True)
    mim_dir.mkdir(parents=True)
    for name in MIM_CONTENT:
        source, target = ROOT / name, mim_dir / name
        if not source.exists():
            continue
        if link:
            try:
                target.symlink_to(
                    os.path.relpath(source, mim_dir), source.is_dir())
                continue
            except OSError:
                pass
        if source.is_dir():
            shutil.copytree(source, target, ignore=IGNORED)
        else:
            shutil.copy2(source, target)


class BuildPy(build_py):
    """Serves ``bdist_wheel`` (copies) and ``editable_wheel`` (links)."""

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            fill_mim_dir(ROOT / 'mmseg_semi', link=True)
        else:
            fill_mim_dir(Path(self.build_lib) / 'mmseg_semi', link=False)


class Develop(develop):
    """``python setup.py develop`` of setuptools < 80 skips ``build_py``."""

    def run(self) -> None:
        fill_mim_dir(ROOT / 'mmseg_semi', link=True)
        super().run()


def read_readme() -> str:
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else ''


setup(
    name='mmseg_semi',
    version=read_version(),
    description='Semi-supervised semantic segmentation for MMSegmentation',
    long_description=read_readme(),
    long_description_content_type='text/markdown',
    author='mmseg_semi authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords='semi-supervised learning, semantic segmentation, OpenMMLab',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmseg_semi', 'mmseg_semi.*']),
    entry_points={
        'console_scripts': ['mmseg-semi = mmseg_semi.cli.main:main']
    },
    package_data={'mmseg_semi': ['**/*.json', '**/*.j2', '**/*.css']},
    install_requires=read_requirements('runtime'),
    extras_require={
        'lite': read_requirements('lite'),
        'mim': read_requirements('mminstall'),
        'tests': read_requirements('tests'),
        'optional': read_requirements('optional'),
        'tiff': read_requirements('tiff'),
        'geo': read_requirements('geo'),
        'onnx': read_requirements('onnx'),
    },
    cmdclass={
        'build_py': BuildPy,
        'develop': Develop,
    },
    zip_safe=False)
