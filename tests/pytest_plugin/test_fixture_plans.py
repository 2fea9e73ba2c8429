from asyncunit import Scope, fixture
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.fixture_plans import AdoptedFixture, AdoptedFixtures, depth_needed, mark_fixture
from asyncunit.pytest_plugin.nodes import Place
from tests.pytest_plugin.test_function_plans import coroutine_function, definition, taker

PLACES = tuple(Place(scope, str(scope), object()) for scope in (Scope.SESSION, Scope.PACKAGE, Scope.MODULE))


def test_a_fixture_needs_a_loop_as_wide_as_it_lives_or_as_it_says():
    @fixture(scope="module", loop_scope="session")
    async def wide(): ...

    @fixture(scope="package")
    async def of_package(): ...

    found = AdoptedFixture(wide, definition(wide.function, "module"), is_peers=False)
    assert depth_needed(found, PLACES) == 1
    # pytest has it live as long as the session where no package of the item's defines it
    there = definition(of_package.function, "package")
    assert depth_needed(AdoptedFixture(of_package, there, is_peers=False), PLACES) == 1
    assert depth_needed(AdoptedFixture(of_package, there, is_peers=True), PLACES) == 2
    there.node = PLACES[1].node
    assert depth_needed(AdoptedFixture(of_package, there, is_peers=False), PLACES) == 2


def test_the_function_of_a_fixture_knows_its_fixture():
    @fixture
    async def one(): ...

    assert mark_fixture(one) is one.function
    fixtures = AdoptedFixtures(taker())
    found = fixtures.find(definition(mark_fixture(one)))
    assert found == AdoptedFixture(one, found.definition, is_peers=False, is_declared=True)
    assert fixtures.find(found.definition) is found


def test_an_unmarked_async_fixture_is_taken_in_auto_mode_and_by_test_cases():
    there = definition(coroutine_function)
    assert AdoptedFixtures(taker()).find(there) is None
    assert AdoptedFixtures(taker()).find_for(there, is_case=True).fixture.is_async
    assert AdoptedFixtures(taker()).find_for(there, is_case=False) is None
    assert AdoptedFixtures(taker(config=Config(mode="auto"))).find(there).is_peers is False
    assert AdoptedFixtures(taker(peer_mode="auto")).find(there).is_peers is True
    assert AdoptedFixtures(taker(is_peer_active=True, peer_mode="auto")).find(there) is None
