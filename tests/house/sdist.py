"""What the source archive holds beside the package: the tests, what they read, and the documentation.

setuptools reads the name of this class in pyproject.toml.
"""

from setuptools.command.sdist import sdist

DIRECTORIES = ("tests", "docs", ".ci")


class Sdist(sdist):
    """setuptools' command, for an archive that can run its own tests."""

    def make_distribution(self):
        for directory in DIRECTORIES:
            self.filelist.graft(directory)
        self.filelist.global_exclude("*.py[cod]")
        super().make_distribution()
