"""The same in another module, which finds what the first one has opened."""

import asyncunit
from tests.real_suites.libraries import handed_on

application = handed_on.Application()


async def asyncSetUpModule():
    asyncunit.addAsyncModuleCleanup(application.close)


class TestThird(handed_on.Uses, asyncunit.AsyncTestCase):
    """It uses the connections that the first module has left to the session."""


class TestOfTheModule(asyncunit.SessionLoopTestCase):
    """A test opens what a global of the module keeps."""

    async def test_1(self):
        await application.use()


class TestOfTheModuleAgain(TestOfTheModule):
    pass
