"""Nothing of this is a finding: what the tests open is kept by something wider, at each scope."""

import asyncunit
from tests.real_suites.libraries.services import of_scope, server_of_scope
from tests.real_suites.libraries.uses import Uses

# The scope that keeps what the tests open, and that of the HTTP server; the loop is that of the wider one.
SCOPES = [("class", "class"), ("module", "module"), ("session", "session"), ("class", "session"), ("module", "session")]

for _scope, _server in SCOPES:
    _bases = (Uses, of_scope(_scope), server_of_scope(_server), asyncunit.AsyncTestCase)
    for _number in (1, 2):  # what one opens is there for the other
        _name = f"TestKeptBy{_scope.capitalize()}ServedBy{_server.capitalize()}{_number}"
        globals()[_name] = type(_name, _bases, {"__module__": __name__})
