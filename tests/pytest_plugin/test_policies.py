import types

from asyncunit.pytest_plugin import policies
from asyncunit.pytest_plugin.policies import Policies, PolicyFactory


class Policy:
    def new_event_loop(self):
        return "a loop"


def item(index=None):
    """An item that runs with the param of that index of the policy's fixture."""
    return (
        types.SimpleNamespace()
        if index is None
        else types.SimpleNamespace(callspec=types.SimpleNamespace(indices={"event_loop_policy": index}))
    )


def test_a_factory_makes_loops_by_the_policy_that_was_given_last():
    factory = PolicyFactory()
    factory.policy = Policy()
    assert factory() == "a loop"


def test_each_param_has_one_factory_whatever_the_fixture_gives():
    known = Policies()
    factory = known.factory_of(item(), "definition")
    assert known.factory_of(item(0), "definition") is factory
    assert known.factory_of(item(1), "definition") is not factory
    assert known.factory_of(item(), "other") is not factory


def test_the_policy_that_was_there_is_in_force_again_where_none_is_given(monkeypatch):
    in_force = ["before"]
    monkeypatch.setattr(policies, "current_policy", lambda: in_force[-1])
    monkeypatch.setattr(policies, "_set", in_force.append)
    known, policy = Policies(), Policy()
    known.given(item(), "definition", policy)
    known.come_to(item(), "definition")
    known.come_to(item(), None)
    known.come_to(item(), None)
    assert in_force == ["before", policy, policy, "before"]
